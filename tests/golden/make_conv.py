#!/usr/bin/env python3
"""Writes conv.lua beside this file: convolutions and transposed ones with all their gradients, as PyTorch computes them.

Tensors follow a formula that conv_spec.lua has too, in eighths, so that results are short and exact in float64.
"""
import torch
from torch.nn import functional as F
from make_golden import write


def values(seed, *shape):
    k = torch.arange(torch.Size(shape).numel())
    return (((k * 7 + seed * 13 + k // 23 * 5) % 23 - 11).double() / 8).view(shape)


def row(x, weight, stride, padding, dilation, groups, output_padding=None):
    """Shapes of x and weight; a list per spatial dimension for the rest. output_padding: a transposed convolution."""
    transposed = output_padding is not None
    channels = weight[1] * groups if transposed else weight[0]
    tensors = [values(1, *x), values(2, *weight), values(3, channels)]
    for t in tensors:
        t.requires_grad_(True)
    n = len(x) - 2
    if transposed:
        f = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
        y = f(*tensors, stride, padding, output_padding, groups, dilation)
    else:
        y = (F.conv1d, F.conv2d, F.conv3d)[n - 1](*tensors, stride, padding, dilation, groups)
    y.backward(values(4, *y.shape))
    result = {'x': x, 'weight': weight, 'stride': stride, 'padding': padding, 'dilation': dilation, 'groups': groups}
    if transposed:
        result['outputPadding'] = output_padding
    result['shape'] = list(y.shape)
    for name, t in zip(('y', 'gradX', 'gradWeight', 'gradBias'), [y.detach()] + [t.grad for t in tensors]):
        result[name] = t.flatten()
    return result


rows = [
    row([2, 3, 7], [4, 3, 3], [1], [0], [1], 1),
    row([1, 4, 9], [6, 2, 4], [2], [3], [2], 2),
    row([2, 2, 6], [2, 1, 3], [3], [1], [1], 2),
    row([2, 3, 5, 6], [4, 3, 3, 3], [1, 1], [1, 1], [1, 1], 1),
    row([1, 2, 6, 7], [3, 2, 3, 2], [2, 1], [1, 0], [1, 2], 1),
    row([2, 1, 8, 8], [5, 1, 5, 5], [1, 1], [2, 2], [1, 1], 1),
    row([1, 12, 4, 5], [9, 12, 3, 3], [1, 1], [1, 1], [1, 1], 1),
    row([1, 12, 5, 5], [4, 12, 3, 3], [2, 2], [1, 1], [1, 1], 1),
    row([1, 12, 5, 6], [3, 12, 3, 3], [1, 1], [2, 3], [2, 3], 1),
    row([2, 4, 5, 5], [6, 4, 1, 1], [2, 2], [0, 0], [1, 1], 1),
    row([1, 4, 5, 4], [4, 1, 3, 3], [1, 1], [1, 1], [1, 1], 4),
    row([1, 4, 6, 5], [4, 1, 3, 3], [2, 2], [1, 2], [1, 1], 4),
    row([1, 3, 5, 5], [6, 1, 2, 3], [1, 2], [0, 1], [2, 1], 3),
    row([1, 8, 4, 4], [8, 2, 3, 3], [1, 1], [1, 1], [1, 1], 4),
    row([1, 2, 9, 9], [2, 2, 2, 2], [3, 4], [0, 1], [1, 1], 1),
    row([1, 2, 7, 7], [2, 2, 3, 3], [4, 6], [2, 2], [2, 3], 1),
    row([1, 2, 3, 4, 4], [3, 2, 2, 3, 3], [1, 1, 1], [0, 1, 1], [1, 1, 1], 1),
    row([1, 2, 5, 4, 5], [2, 1, 3, 2, 2], [2, 1, 2], [1, 0, 1], [1, 2, 1], 2),
    row([1, 12, 3, 3, 3], [2, 12, 2, 3, 3], [2, 1, 1], [1, 1, 1], [2, 1, 1], 1),
    row([2, 3, 4], [3, 2, 3], [2], [1], [1], 1, [1]),
    row([1, 4, 5], [4, 1, 2], [1], [0], [3], 2, [2]),
    row([1, 3, 3, 4], [3, 2, 3, 3], [2, 2], [1, 1], [1, 1], 1, [1, 1]),
    row([1, 4, 3, 3], [4, 2, 4, 4], [2, 2], [1, 1], [1, 1], 2, [0, 0]),
    row([1, 2, 3, 3], [2, 2, 3, 2], [1, 3], [0, 1], [2, 2], 1, [1, 2]),
    row([1, 2, 2, 3, 2], [2, 2, 2, 2, 3], [2, 1, 1], [0, 1, 0], [1, 1, 1], 1, [1, 0, 0]),
]
write('conv.lua', 'convolutions and their gradients', rows)
