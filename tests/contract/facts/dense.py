"""Networks for every pixel."""

from tests.contract.facts.base import Facts

FACTS = {
    # three stages of two 3×3 windows without padding: 1 + 4 = 5 ← 10 + 4 = 14 ← 28 + 4 = 32
    "unet": Facts(sizes=((3, 48, 48), (1, 40, 52)), least=(32, 32), ceil=False),
}
COUNTS = {}
