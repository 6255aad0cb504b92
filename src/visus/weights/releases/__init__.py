"""Published weights: peer → its releases, the library's default first."""

from visus.weights.releases import keras, packages, timm, torchvision
from visus.weights.releases.base import Release

RELEASES: dict[str, tuple[Release, ...]] = {
    f"{library}:{name}": rows
    for library, table in (
        ("efficientnet_lite_pytorch", packages.RELEASES),
        ("torchvision", torchvision.RELEASES),
        ("timm", timm.RELEASES),
        ("keras", keras.RELEASES),
    )
    for name, rows in table.items()
}

__all__ = ["RELEASES", "Release"]
