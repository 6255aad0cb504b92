"""The networks of other libraries that are the same as ours, and the names of their layers."""

from visus.weights.peers import classic, inception, mobile, residual, vit
from visus.weights.peers.base import Library, Pair, Peer

PEERS: dict[str, Peer] = {
    peer.key: peer for family in (classic, inception, residual, mobile, vit) for peer in family.PEERS
}

__all__ = ["PEERS", "Library", "Pair", "Peer"]
