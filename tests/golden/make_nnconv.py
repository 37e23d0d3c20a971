#!/usr/bin/env python3
"""Writes nnconv.lua beside this file: PyTorch's convolution modules and functions, in float64."""
import torch
from torch import nn
from torch.nn import functional as F

from make_golden import write

LUA = {'padding_mode': 'paddingMode', 'output_padding': 'outputPadding'}


def options(given):
    return {LUA.get(key, key): list(v) if isinstance(v, tuple) else v for key, v in given.items()}


def main():
    torch.manual_seed(6)
    rows = []

    def add(cls, arguments, shape, torch7=None, **given):
        module = cls(*arguments, **given)
        x = torch.randn(shape, requires_grad=True)
        y = module(x)
        g = torch.randn_like(y)
        y.backward(g)
        row = {'module': cls.__name__, 'arguments': [list(a) if isinstance(a, tuple) else a for a in arguments],
               'input': x.detach(), 'gradOutput': g, 'weight': module.weight.detach(), 'output': y.detach(),
               'gradInput': x.grad, 'gradWeight': module.weight.grad}
        if given:
            row['arguments'].append(options(given))
        if module.bias is not None:
            row.update(bias=module.bias.detach(), gradBias=module.bias.grad)
        if torch7:
            row.update(torch7=torch7[0], torch7Arguments=torch7[1])
        rows.append(row)

    add(nn.Conv1d, (2, 3, 2), (2, 2, 4))
    add(nn.Conv1d, (2, 4, 3), (2, 2, 5), stride=2, padding=2, dilation=2, groups=2)
    add(nn.Conv1d, (2, 2, 2), (1, 2, 4), padding='same')
    add(nn.Conv1d, (2, 2, 3), (2, 4), padding=2, padding_mode='reflect')
    add(nn.Conv2d, (2, 3, (2, 3)), (2, 2, 3, 4), ['SpatialConvolution', [2, 3, 3, 2]])
    add(nn.Conv2d, (2, 3, 3), (2, 4, 4), ['SpatialConvolution', [2, 3, 3, 3, 2, 1, 0, 1]], stride=(1, 2), padding=(1, 0))
    add(nn.Conv2d, (3, 3, 2), (2, 3, 3, 3), ['SpatialDilatedConvolution', [3, 3, 2, 2, 1, 2, 1, 2, 2, 1]], stride=(2, 1),
        padding=(2, 1), dilation=(1, 2))
    add(nn.Conv2d, (4, 2, 2), (1, 4, 3, 3), groups=2, bias=False)
    add(nn.Conv2d, (2, 2, (2, 3)), (1, 2, 3, 4), padding='same', dilation=(1, 2))
    add(nn.Conv2d, (2, 2, (2, 3)), (1, 2, 3, 4), padding='same', padding_mode='replicate')
    add(nn.Conv2d, (1, 2, 2), (2, 1, 3, 3), padding=(1, 2), padding_mode='circular')
    add(nn.Conv2d, (1, 2, 2), (2, 1, 3, 3), padding='valid')
    add(nn.Conv3d, (2, 2, (2, 1, 2)), (1, 2, 2, 2, 3),
        ['VolumetricConvolution', [2, 2, 2, 2, 1, 2, 1, 2, 1, 0, 1]], stride=(2, 2, 1), padding=(1, 1, 0))
    add(nn.Conv3d, (1, 2, 2), (1, 3, 3, 2), ['VolumetricDilatedConvolution', [1, 2, 2, 2, 2, 1, 1, 1, 0, 0, 0, 2, 1, 2]],
        dilation=(2, 2, 1))
    add(nn.ConvTranspose1d, (2, 4, 3), (2, 2, 3), stride=2, padding=1, output_padding=1, groups=2)
    add(nn.ConvTranspose2d, (2, 3, (2, 3)), (2, 2, 2, 2), ['SpatialFullConvolution', [2, 3, 3, 2]])
    add(nn.ConvTranspose2d, (2, 2, 3), (2, 2, 3), ['SpatialFullConvolution', [2, 2, 3, 3, 3, 2, 0, 1, 2, 1]],
        stride=(2, 3), padding=(1, 0), output_padding=(1, 2))
    add(nn.ConvTranspose2d, (2, 2, 2), (1, 2, 2, 2), dilation=(1, 2), bias=False)
    add(nn.ConvTranspose3d, (1, 2, 2), (1, 1, 2, 2, 1), ['VolumetricFullConvolution', [1, 2, 2, 2, 2, 2, 1, 1]], stride=(2, 1, 1))
    for shape, kernel, given in (((2, 2, 4, 5), (2, 3), {}), ((2, 3, 4), (2, 2), {'padding': 1, 'stride': (2, 1)}),
                                 ((1, 1, 5, 5), 2, {'dilation': (2, 3), 'padding': (0, 1)})):
        x = torch.randn(shape, requires_grad=True)
        y = F.unfold(x, kernel, **given)
        g = torch.randn_like(y)
        y.backward(g)
        rows.append({'input': x.detach(), 'kernel': list(kernel) if isinstance(kernel, tuple) else kernel,
                     'options': options(given), 'output': y.detach(), 'gradOutput': g, 'gradInput': x.grad})
    write('nnconv.lua', 'convolution modules, and unfold, whose gradient is fold', rows)


if __name__ == '__main__':
    main()
