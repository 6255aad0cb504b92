"""Where it began. Counts derived from the paper: LeNet-5 156 + 12 + 1,516 + 32 + 48,120 + 10,164 = 60,000, in common
form 156 + 2,416 + 48,120 + 10,164 + 850 = 61,706."""

from tests.contract.facts.base import Counts, Facts

FACTS = {
    "mlp": Facts(sizes=((3, 12, 10), (7,)), ceil=False),
    # the paper's kernels, without padding, leave one pixel for C5
    "lenet5": Facts(sizes=((1, 32, 32), (3, 20, 27)), least=(16, 16), ceil=False),
}

COUNTS = {
    "lenet5": Counts((1, 32, 32), 10, 60_000, 325_680),
    # 784·128 + 128·128 + 128·10 products, and as many weights with 128 + 128 + 10 biases
    "mlp": Counts((1, 28, 28), 10, 118_282, 118_016, 0),
    "lenet5_full": Counts((1, 32, 32), 10, 61_706, 416_520),
}
