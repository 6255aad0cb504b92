"""Regions on maps: beside torchvision's operators, whose answers are kept in rois.npz: made with torchvision 0.29.2
of random maps and boxes, some of which are the whole image, a point, thinner than a pixel of the map, or in its corner.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from visus.ops.rois import roi_align, roi_pool

GIVEN = {name: torch.from_numpy(each) for name, each in np.load(Path(__file__).with_name("rois.npz")).items()
         if name != "torchvision"}  # fmt: skip
MAP, BOXES, STEP = GIVEN["map"], GIVEN["boxes"], (16.0, 16.0)


@pytest.mark.parametrize("grid", [2, 3, 7])
def test_roi_pool_is_torchvisions(grid):
    assert torch.equal(roi_pool(MAP, BOXES, grid, STEP), GIVEN[f"pool{grid}"])


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("grid", [2, 3, 7])
def test_roi_align_is_torchvisions(grid, aligned):
    found = roi_align(MAP, BOXES, grid, STEP, aligned=aligned)
    torch.testing.assert_close(found, GIVEN[f"align{grid}_{int(aligned)}"], rtol=0, atol=1e-5)


def test_roi_align_with_nine_samples_is_torchvisions():
    torch.testing.assert_close(roi_align(MAP, BOXES, 3, STEP, samples=3), GIVEN["align3x3"], rtol=0, atol=1e-5)


def test_of_a_plane_roi_align_gives_the_middles_of_the_parts():
    # bilinear interpolation of a linear function is exact: the value in a part's middle, at pixel middles i + ½
    y, x = torch.meshgrid(torch.arange(8.0) + 0.5, torch.arange(10.0) + 0.5, indexing="ij")
    found = roi_align((2 * x + 30 * y)[None, None], torch.tensor([[[8.0, 12.0, 32.0, 28.0]]]), 2, (4.0, 4.0))
    middles_x, middles_y = torch.tensor([8 + 6.0, 8 + 18.0]) / 4, torch.tensor([12 + 4.0, 12 + 12.0]) / 4
    torch.testing.assert_close(found[0, 0, 0], 2 * middles_x[None] + 30 * middles_y[:, None])


@pytest.mark.parametrize("pool", [roi_pool, roi_align])
def test_gradients_are_those_of_small_steps(pool):
    values = torch.randperm(60, generator=torch.Generator().manual_seed(0)).double().view(1, 1, 6, 10).requires_grad_()
    boxes = torch.tensor([[[3.0, 2.0, 33.0, 21.0], [0.0, 0.0, 40.0, 24.0]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: pool(x, boxes, 3, (4.0, 4.0)), (values,))


class _Both(nn.Module):
    def forward(self, map_NCHW: Tensor, boxes_NR4: Tensor) -> tuple[Tensor, Tensor]:
        return roi_pool(map_NCHW, boxes_NR4, 7, STEP), roi_align(map_NCHW, boxes_NR4, 7, STEP)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of the exporter's own parts
def test_both_are_a_graph_that_onnx_runtime_computes(tmp_path):
    path = tmp_path / "rois.onnx"
    program = torch.onnx.export(_Both().eval(), (MAP, BOXES), dynamo=True, verbose=False, input_names=["map", "boxes"])
    program.save(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pooled, aligned = session.run(None, {"map": MAP.numpy(), "boxes": BOXES.flip(1).contiguous().numpy()})
    assert np.array_equal(pooled, GIVEN["pool7"].flip(1).numpy())
    np.testing.assert_allclose(aligned, GIVEN["align7_1"].flip(1).numpy(), atol=1e-5)
