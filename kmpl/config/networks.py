"""The networks. A new one is a class, as ``kmpl.models.registry`` describes it, and one line here."""

from kmpl.config.choices import Choice, by_name

NETWORKS = by_name(
    Choice("cnn", "kmpl.models.cnn:CNN", "small, fast"),
    Choice("vgg16", "kmpl.models.vgg16:VGG16", "the notebook's"),
)
