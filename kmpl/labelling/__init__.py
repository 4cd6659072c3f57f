"""Labelling a folder of images: the job, cross-fitting, threshold, table of labels, gallery, and suggestions."""
