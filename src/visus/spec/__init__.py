"""Settings as frozen values: built from Python, TOML or `--set a.b=c`, and refused when mistyped."""

from visus.spec.base import Spec, Variant, check, decode, tree
from visus.spec.text import assign, dumps, merge, parse_assignment, read_toml

__all__ = ["Spec", "Variant", "assign", "check", "decode", "dumps", "merge", "parse_assignment", "read_toml", "tree"]
