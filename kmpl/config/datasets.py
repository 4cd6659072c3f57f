"""The data sets with a name. A new one is a function ``train → kmpl.datasets.types.Images`` and one line here."""

from kmpl.config.choices import Choice, by_name

DATASETS = by_name(
    Choice("MNIST", "kmpl.datasets.mnist:read", "comes with kmpl"),
    Choice("FashionMNIST", "kmpl.datasets.torchvision_sets:fashion_mnist"),
    Choice("KMNIST", "kmpl.datasets.torchvision_sets:kmnist"),
    Choice("EMNIST", "kmpl.datasets.torchvision_sets:emnist", "47 letters and digits"),
    Choice("USPS", "kmpl.datasets.torchvision_sets:usps"),
    Choice("SVHN", "kmpl.datasets.torchvision_sets:svhn"),
    Choice("CIFAR10", "kmpl.datasets.torchvision_sets:cifar10"),
    Choice("CIFAR100", "kmpl.datasets.torchvision_sets:cifar100"),
)
