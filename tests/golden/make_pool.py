#!/usr/bin/env python3
"""Writes pool.lua beside this file: pooling modules of PyTorch, their places and gradients, in float64."""
import torch
from torch import nn
from make_golden import write

torch.manual_seed(11)
SIZES = {1: (2, 9), 2: (2, 6, 7), 3: (2, 4, 5, 4)}
KEYS = {'ceil_mode': 'ceilMode', 'count_include_pad': 'countIncludePad', 'divisor_override': 'divisorOverride'}
ROWS = []


def add(name, torch7, first, options, shape=None):
    """torch7: code that makes Torch7's module of the same meaning, or nothing."""
    spatial = int(name[-2])
    # quarters, so that there are equal maxima
    x = (torch.randn(shape or SIZES[spatial]) * 4).round() / 4
    x.requires_grad_(True)
    row = {'module': name, 'first': first, 'options': {KEYS.get(k, k): v for k, v in options.items()}, 'torch7': torch7,
           'input': x.detach()}
    if 'Max' in name:
        y, places = getattr(nn, name)(first, return_indices=True, **options)(x)
        row['indices'] = places + 1
    else:
        y = getattr(nn, name)(first, **options)(x)
    grad = (torch.randn(y.shape) * 4).round() / 4
    y.backward(grad)
    row.update(output=y.detach(), gradOutput=grad, gradInput=x.grad)
    ROWS.append(row)


add('MaxPool1d', '', 3, {'stride': 2, 'padding': 1})
add('MaxPool1d', '', 2, {'dilation': 3})
add('MaxPool2d', 'SpatialMaxPooling(2, 2)', 2, {})
add('MaxPool2d', 'SpatialMaxPooling(3, 3, 2, 2, 1, 1)', 3, {'stride': 2, 'padding': 1})
add('MaxPool2d', 'SpatialMaxPooling(3, 2, 1, 2, 1, 0):ceil()', [2, 3], {'stride': [2, 1], 'padding': [0, 1], 'ceil_mode': True})
add('MaxPool2d', 'SpatialMaxPooling(3, 3, 2, 2):ceil()', 3, {'stride': 2, 'ceil_mode': True})
add('MaxPool2d', 'SpatialDilatedMaxPooling(2, 3, 1, 2, 1, 1, 3, 2)', [3, 2],
    {'stride': [2, 1], 'padding': 1, 'dilation': [2, 3]})
add('MaxPool2d', '', 3, {'stride': 1, 'padding': 1}, (1, 2, 6, 37))
add('MaxPool3d', 'VolumetricMaxPooling(2, 3, 2, 2, 1, 2)', [2, 2, 3], {'stride': [2, 2, 1]})
add('MaxPool3d', '', 2, {'stride': 2, 'padding': 1, 'ceil_mode': True})
add('AvgPool1d', '', 3, {'stride': 2, 'padding': 1})
add('AvgPool2d', 'SpatialAveragePooling(2, 2, 2, 2)', 2, {})
add('AvgPool2d', 'SpatialAveragePooling(3, 2)', [2, 3], {'stride': 1})
add('AvgPool2d', 'SpatialAveragePooling(3, 3, 2, 2, 1, 1):ceil()', 3, {'stride': 2, 'padding': 1, 'ceil_mode': True})
add('AvgPool2d', 'SpatialAveragePooling(3, 3, 2, 2, 1, 1):ceil():setCountExcludePad()', 3,
    {'stride': 2, 'padding': 1, 'ceil_mode': True, 'count_include_pad': False})
add('AvgPool2d', '', 3, {'stride': [1, 2], 'divisor_override': 5})
add('AvgPool3d', 'VolumetricAveragePooling(2, 3, 2, 1, 2, 1)', [2, 2, 3], {'stride': [1, 1, 2]})
add('AdaptiveAvgPool1d', '', 4, {})
add('AdaptiveAvgPool2d', 'SpatialAdaptiveAveragePooling(3, 4)', [4, 3], {})
add('AdaptiveAvgPool2d', 'SpatialAdaptiveAveragePooling(1, 1)', 1, {})
add('AdaptiveAvgPool2d', '', [3, 7], {})
add('AdaptiveAvgPool3d', '', [2, 3, 1], {})
add('AdaptiveMaxPool1d', '', 4, {})
add('AdaptiveMaxPool2d', 'SpatialAdaptiveMaxPooling(3, 4)', [4, 3], {})
add('AdaptiveMaxPool2d', '', 1, {})
add('AdaptiveMaxPool3d', '', [2, 2, 3], {})
write('pool.lua', 'pooled inputs, places of maxima from 1, gradients', ROWS)
