"""Every network of another library that we can import: proven against that library's own answers.

The golden files hold its names, shapes and scores when every tensor is filled by a formula (visus.weights.peer);
`visus weights certify` wrote them in an environment that has the library, whose versions are in each.
"""

import json
import os
from pathlib import Path

import pytest
import torch

from visus.errors import WeightsError
from visus.models import CATALOG
from visus.weights.certify import TOLERANCE, read_certificate
from visus.weights.goldens import fill, network, read_golden, replay
from visus.weights.peers import PEERS
from visus.weights.releases import RELEASES
from visus.weights.translate import entries, translate

FOLDER = Path(__file__).parents[1] / "goldens"
CERTIFICATES = Path(__file__).parents[2] / "docs" / "certificates"
GOLDENS = {f"{path.parent.name}:{path.stem}": path for path in sorted(FOLDER.glob("*/*.json"))}
MULTIPLY_ADDS, WEIGHTS = 5e9, 50e6  # of those that every run replays; VISUS_SLOW=1 for all
ASKABLE = sorted(key for key, peer in PEERS.items() if peer.library in ("torchvision", "timm", "keras"))


def test_every_peer_has_a_golden_file_and_a_certificate():
    assert set(GOLDENS) == set(ASKABLE)
    assert {f"{path.parent.name}:{path.stem}" for path in CERTIFICATES.glob("*/*.json")} == set(ASKABLE)


def _replayed() -> list[str]:
    """Those that every run replays: the small ones, and the smallest of each family in each library."""
    figures = {key: CATALOG[PEERS[key].network].figures for key in ASKABLE}
    family = {key: (PEERS[key].library, CATALOG[PEERS[key].network].family) for key in ASKABLE}
    ranked = sorted(ASKABLE, key=lambda key: figures[key].multiply_adds)
    smallest = {key for key in ranked if key == next(other for other in ranked if family[other] == family[key])}
    small = {key for key in ASKABLE if figures[key].multiply_adds < MULTIPLY_ADDS and figures[key].parameters < WEIGHTS}
    return sorted(smallest | small)


@pytest.mark.parametrize("key", ASKABLE if "VISUS_SLOW" in os.environ else _replayed())
def test_the_same_answers_as_the_library(key):
    golden = read_golden(GOLDENS[key])
    assert len(golden.scores) == PEERS[key].classes
    assert replay(PEERS[key], golden) < 1e-4


@pytest.mark.parametrize("key", ASKABLE)
def test_every_tensor_is_used_once(key):
    """Golden files alone would not see two layers of ours that take the same tensor of theirs."""
    taken = [entry.theirs for entry in entries(PEERS[key], PEERS[key].classes)]
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("key", ASKABLE)
def test_certificates_hold(key):
    peer = PEERS[key]
    found = read_certificate(CERTIFICATES / peer.library / f"{peer.name}.json")
    assert (found.library, found.theirs, found.network) == (peer.library, peer.name, peer.network)
    assert found.relative <= TOLERANCE
    assert found.worst.relative <= TOLERANCE
    assert found.top1_agreement == 1.0
    assert len(found.layers) > 7
    assert set(found.versions) >= {"visus", peer.library, "torch"}


@pytest.mark.parametrize("key", ["torchvision:resnet18", "keras:mobilenetv2_100", "timm:vit_tiny_patch16_224"])
def test_a_golden_file_sees_swapped_tensors(key):
    """Two tensors of equal shape change places: the answer must change by far more than what is allowed."""
    peer, golden = PEERS[key], read_golden(GOLDENS[key])
    stored = fill(golden)
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for entry in entries(peer, peer.classes):
        if len(entry.shape) > 1:
            by_shape.setdefault(tuple(stored[entry.theirs].shape), []).append(entry.theirs)
    one, other = next(names for names in by_shape.values() if len(names) > 1)[:2]
    stored[one], stored[other] = stored[other], stored[one]
    from visus.weights.peer import question

    with torch.inference_mode():
        found = network(peer, stored, "swapped")(torch.from_numpy(question(golden.input))).reshape(-1)
    wanted = torch.tensor(golden.scores)
    assert (found - wanted).abs().max() / wanted.abs().max() > 1e-2


def test_missing_surplus_and_misshapen_tensors_are_named():
    peer = PEERS["torchvision:resnet18"]
    stored = fill(read_golden(GOLDENS[peer.key]))
    without = {name: tensor for name, tensor in stored.items() if name != "layer1.0.conv1.weight"}
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight: not in mine"):
        translate(peer, without, 1000, "mine")
    with pytest.raises(WeightsError, match=r"extra\.weight: not known"):
        translate(peer, {**stored, "extra.weight": torch.zeros(1)}, 1000, "mine")
    with pytest.raises(WeightsError, match=r"fc\.weight: 1000×512 in mine, 10×512 wanted"):
        translate(peer, stored, 10, "mine")


def test_peers_read_networks_of_the_catalog():
    for key, peer in PEERS.items():
        assert key == peer.key == f"{peer.library}:{peer.name}"
        assert type(peer.spec) is type(CATALOG[peer.network].spec)
        assert peer.name == peer.name.lower()


def test_golden_files_are_small():
    assert sum(path.stat().st_size for path in GOLDENS.values()) < 8_000_000
    assert all(path.stat().st_size < 200_000 for path in GOLDENS.values())
    assert all(json.loads(path.read_text("utf-8"))["versions"] for path in GOLDENS.values())


def test_positions_are_resized_for_another_grid():
    peer = PEERS["timm:vit_tiny_patch16_224"]
    stored = fill(read_golden(GOLDENS[peer.key]))
    found = translate(peer, stored, 1000, "mine", (3, 160, 96))
    assert found["backbone.stages.0.3.table"].shape == (1, 1 + 10 * 6, 192)
    assert torch.equal(found["backbone.stages.0.3.table"][:, 0], stored["pos_embed"][:, 0])


def test_releases_are_fed_with_what_their_network_takes():
    for key, rows in RELEASES.items():
        channels = PEERS[key].input[0]
        assert all(row.preprocess.channels == channels == len(row.preprocess.mean) for row in rows)
