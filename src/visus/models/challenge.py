"""The ImageNet challenge (ILSVRC), classification: who won it with what, year by year.

Errors are top-5, in percent, on the challenge's test set: a guess is wrong where none of five classes is the right
one. Those of 2010 to 2014 are in Russakovsky et al. 2014 (arXiv:1409.0575), later ones in the winners' papers.
"""

from __future__ import annotations

from visus.spec import Spec


class Entry(Spec, frozen=True):
    """An entry to the challenge.

    network: what it is called. error: top-5, percent. layers: with weights, of the deepest network in it; None where
    several kinds took part, and for features made by hand. families: of the catalog, of which it was made; none for
    features made by hand. source: who published the error. about: what it was, where its name doesn't say so.
    """

    year: int
    network: str
    team: str
    error: float
    source: str
    layers: int | None = None
    families: tuple[str, ...] = ()
    about: str = ""


_REVIEW = "arXiv:1409.0575"

ENTRIES: tuple[Entry, ...] = (
    Entry(
        year=2010, network="NEC-UIUC", team="NEC-UIUC", error=28.2, source=_REVIEW,
        about="features made by hand, linear classifiers",
    ),
    Entry(
        year=2011, network="XRCE", team="XRCE", error=25.8, source=_REVIEW,
        about="features made by hand, linear classifiers",
    ),
    Entry(
        year=2012, network="AlexNet", team="SuperVision", error=16.4, source=_REVIEW, layers=8,
        families=("alexnet",),
        about="five networks; a single one 18.2 on the validation set, seven with pre-training 15.3",
    ),
    Entry(
        year=2013, network="ZFNet", team="Clarifai", error=11.7, source=_REVIEW, layers=8,
        families=("zfnet",),
        about="several networks by one of ZFNet's authors; those of the paper (arXiv:1311.2901) had 14.8",
    ),
    Entry(
        year=2014, network="VGG", team="VGG", error=7.3, source="arXiv:1409.1556", layers=19,
        families=("vgg",), about="seven networks; second place",
    ),
    Entry(
        year=2014, network="GoogLeNet", team="GoogLeNet", error=6.67, source="arXiv:1409.4842", layers=22,
        families=("googlenet",), about="seven networks, 144 crops of each image",
    ),
    Entry(
        year=2015, network="ResNet", team="MSRA", error=3.57, source="arXiv:1512.03385", layers=152,
        families=("resnet",), about="six networks",
    ),
    Entry(
        year=2016, network="Fusion", team="Trimps-Soushen", error=2.99, source="results of ILSVRC 2016",
        families=("inception_v3", "inception_v4", "inception_resnet", "preact_resnet", "wide_resnet"),
        about="Inception v3, v4, Inception-ResNet v2, ResNet-200 and a wide ResNet, their probabilities averaged",
    ),
    Entry(
        year=2017, network="SENet", team="WMW", error=2.251, source="arXiv:1709.01507", layers=154,
        families=("senet",), about="several networks, SENet-154 the deepest",
    ),
)  # fmt: skip

# One person who had trained for it, on 1,500 images of the test set (arXiv:1409.0575, section 6.4); another had 12.0.
HUMAN_ERROR = 5.1
