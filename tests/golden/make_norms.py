#!/usr/bin/env python3
"""Writes norms.lua beside this file: more of PyTorch's normalising modules than norm.lua has, and other shapes, in float64."""
import torch
from torch import nn

from make_golden import norm_row, write


def main():
    torch.manual_seed(7)
    rows = []

    def add(module, arguments, shape):
        rows.append(norm_row(module, arguments, [type(module).__name__], shape))

    add(nn.BatchNorm1d(11), [11], (6, 11))
    add(nn.BatchNorm1d(2, affine=False, momentum=0.7), [2, {'affine': False, 'momentum': 0.7}], (3, 2, 9))
    add(nn.BatchNorm2d(9, momentum=0.25), [9, {'momentum': 0.25}], (2, 9, 2, 3))
    add(nn.BatchNorm3d(3, eps=0.2, momentum=0.5), [3, {'eps': 0.2, 'momentum': 0.5}], (2, 3, 2, 1, 2))
    add(nn.LayerNorm(11), [11], (3, 11))
    add(nn.LayerNorm([2, 3, 3]), [[2, 3, 3]], (2, 2, 3, 3))
    add(nn.LayerNorm([5, 4], bias=False), [[5, 4], {'bias': False}], (2, 1, 5, 4))
    add(nn.GroupNorm(3, 9), [3, 9], (2, 9, 1, 2))
    add(nn.GroupNorm(2, 6, affine=False), [2, 6, {'affine': False}], (2, 6, 2, 1, 3))
    add(nn.GroupNorm(4, 8), [4, 8], (3, 8))
    add(nn.RMSNorm(7), [7], (4, 7))
    add(nn.RMSNorm([3, 4], eps=0.1), [[3, 4], {'eps': 0.1}], (2, 3, 4))
    add(nn.RMSNorm(5, elementwise_affine=False), [5, {'affine': False}], (2, 1, 5))
    affine = {'affine': True}
    tracking = {'affine': True, 'trackRunningStats': True, 'momentum': 0.3}
    for cls, shape in ((nn.InstanceNorm1d, (2, 3, 4)), (nn.InstanceNorm2d, (2, 3, 2, 2)), (nn.InstanceNorm3d, (2, 2, 2, 1, 2))):
        add(cls(shape[1], affine=True), [shape[1], affine], shape)
        add(cls(shape[1], affine=True, track_running_stats=True, momentum=0.3), [shape[1], tracking], shape)
    add(nn.InstanceNorm1d(3), [3], (3, 5))
    add(nn.LocalResponseNorm(2), [2], (2, 3, 4))
    add(nn.LocalResponseNorm(3, alpha=0.5, beta=0.6, k=2), [3, 0.5, 0.6, 2], (2, 5, 1, 3))
    rows[-1]['module'] += ' SpatialCrossMapLRN'
    add(nn.LocalResponseNorm(4, alpha=0.5), [4, 0.5], (1, 6, 2, 1, 2))
    write('norms.lua', 'a training step, running statistics after two, an evaluation', rows)


if __name__ == '__main__':
    main()
