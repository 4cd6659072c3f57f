"""A folder of images labelled: the method, the check of its labels, and what is shown of them."""
