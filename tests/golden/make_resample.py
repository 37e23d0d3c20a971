#!/usr/bin/env python3
"""Writes resample.lua beside this file: padding, upsampling, sampling and running operations that PyTorch computes, in float64.

Needs PyTorch (the file here was made with 2.0.1 on the CPU); the tests themselves read only the file.
"""
import torch
from torch.nn import functional as F
from make_golden import write

torch.manual_seed(4)
rows = []


def add(name, f, inputs, arguments=(), modules=()):
    """One call: f(*inputs), and the gradients of its first result, weighted with gradOutput, towards floating inputs."""
    leaves = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    y = f(*leaves)
    places = None
    if isinstance(y, tuple):
        y, places = y
    grad = torch.randn(y.shape)
    y.backward(grad)
    row = {'name': name, 'inputs': list(inputs), 'arguments': list(arguments), 'output': y.detach(),
           'gradOutput': grad, 'grads': [x.grad for x in leaves if x.grad is not None]}
    if places is not None:
        row['places'] = places + 1
    if modules:
        row['modules'] = list(modules)
    rows.append(row)


def camel(name):
    first, *rest = name.split('_')
    return first + ''.join(word.capitalize() for word in rest)


def pad(shape, pads, mode='constant', value=0.0, modules=()):
    add('pad', lambda x: F.pad(x, pads, mode, value), [torch.randn(shape)], [pads, {'mode': mode, 'value': value}],
        modules=modules)


def padding():
    pad((2, 3), [1, 2], value=0.5)
    pad((1, 2, 3), [-1, 2], modules=["nn.ZeroPad1d{-1, 2}"])
    pad((1, 2, 3, 2), [1, 2, -1, 1], modules=["nn.ZeroPad2d{1, 2, -1, 1}", "nn.SpatialZeroPadding(1, 2, -1, 1)"])
    pad((1, 1, 2, 2, 2), [1, 0, 1, 1, -1, 1], value=1.5, modules=["nn.ConstantPad3d({1, 0, 1, 1, -1, 1}, 1.5)"])
    pad((2, 2, 4), [3, 1], 'reflect', modules=["nn.ReflectionPad1d{3, 1}"])
    pad((1, 2, 3, 3), [2, 1, 1, 2], 'reflect', modules=["nn.ReflectionPad2d{2, 1, 1, 2}",
                                                        "nn.SpatialReflectionPadding(2, 1, 1, 2)"])
    pad((1, 1, 2, 2, 3), [1, 2, 1, 0, 1, 1], 'reflect', modules=["nn.ReflectionPad3d{1, 2, 1, 0, 1, 1}"])
    pad((1, 2, 3), [2, 3], 'replicate', modules=["nn.ReplicationPad1d{2, 3}"])
    pad((1, 2, 2, 3), [2, 2, 2, 2], 'replicate', modules=["nn.ReplicationPad2d(2)", "nn.SpatialReplicationPadding(2)"])
    pad((1, 1, 2, 2, 2), [1, 1, 0, 2, 1, 0], 'replicate', modules=["nn.ReplicationPad3d{1, 1, 0, 2, 1, 0}",
                                                                   "nn.VolumetricReplicationPadding(1, 1, 0, 2, 1, 0)"])
    pad((1, 2, 3), [3, 1], 'circular', modules=["nn.CircularPad1d{3, 1}"])
    pad((1, 1, 3, 3), [1, 2, -1, 2], 'circular', modules=["nn.CircularPad2d{1, 2, -1, 2}"])


def up(shape, modules=(), **options):
    given = {camel(k): list(v) if isinstance(v, tuple) else v for k, v in options.items()}
    add('interpolate', lambda x: F.interpolate(x, **options), [torch.randn(shape)], [given], modules=modules)


def upsampling():
    up((1, 2, 4), size=7)
    up((1, 1, 5), scale_factor=1.3)
    up((1, 1, 7), scale_factor=0.7)
    up((1, 1, 7), scale_factor=0.7, recompute_scale_factor=True)
    up((1, 2, 3, 2), scale_factor=2, modules=["nn.SpatialUpSamplingNearest(2)", "nn.UpSampling(2)",
                                              "nn.UpsamplingNearest2d{scaleFactor = 2}", "nn.Upsample{scaleFactor = 2}"])
    up((1, 1, 5, 4), scale_factor=(0.45, 2.6))
    up((1, 1, 2, 3, 2), scale_factor=(1.5, 1, 2))
    up((1, 1, 5), size=8, mode='nearest-exact')
    up((1, 1, 3, 4), scale_factor=(2.4, 0.6), mode='nearest-exact')
    up((2, 1, 4), size=7, mode='linear')
    up((1, 1, 4), size=7, mode='linear', align_corners=True)
    up((1, 1, 6), scale_factor=0.55, mode='linear')
    up((1, 2, 3, 4), scale_factor=2, mode='bilinear')
    up((1, 2, 3, 2), scale_factor=2, mode='bilinear', align_corners=True,
       modules=["nn.SpatialUpSamplingBilinear(2)", "nn.UpSampling(2, 'bilinear')", "nn.UpsamplingBilinear2d{scaleFactor = 2}",
                "nn.SpatialUpSamplingBilinear{oheight = 6, owidth = 4}"])
    up((1, 1, 5, 4), scale_factor=(1.7, 0.8), mode='bilinear')
    up((1, 1, 4, 4), size=(1, 3), mode='bilinear', align_corners=True)
    up((1, 1, 2, 3, 2), size=(3, 2, 5), mode='trilinear')
    up((1, 1, 2, 2, 2), size=(3, 3, 1), mode='trilinear', align_corners=True)
    up((1, 1, 4, 3), size=(7, 5), mode='bicubic')
    up((1, 1, 4, 3), size=(3, 6), mode='bicubic', align_corners=True)
    up((1, 1, 5, 5), scale_factor=(1.3, 0.6), mode='bicubic')


def sampling():
    def sample(shape, places, extent, **options):
        grid = (torch.rand(shape[0], *places, len(places)) * 2 - 1) * extent
        add('gridSample', lambda x, g: F.grid_sample(x, g, **options), [torch.randn(shape), grid],
            [{camel(k): v for k, v in options.items()}])

    for padding_mode in ('zeros', 'border', 'reflection'):
        for align in (False, True):
            for mode in ('bilinear', 'nearest', 'bicubic'):
                sample((1, 2, 3, 4), (2, 2), 2.5 if padding_mode == 'reflection' else 1.5, mode=mode, padding_mode=padding_mode,
                       align_corners=align)
            sample((1, 1, 2, 3, 3), (1, 2, 2), 1.5, mode='bilinear', padding_mode=padding_mode, align_corners=align)
    sample((2, 1, 2, 2, 2), (1, 2, 1), 1.2, mode='nearest', align_corners=False)
    for align in (False, True):
        add('affineGrid', lambda t: F.affine_grid(t, [2, 1, 2, 3], align), [torch.randn(2, 2, 3)],
            [[2, 1, 2, 3], {'alignCorners': align}])
        add('affineGrid', lambda t: F.affine_grid(t, [1, 1, 2, 1, 3], align), [torch.randn(1, 3, 4)],
            [[1, 1, 2, 1, 3], {'alignCorners': align}])


def shuffles():
    add('pixelShuffle', lambda x: F.pixel_shuffle(x, 2), [torch.randn(1, 8, 2, 3)], [2], modules=["nn.PixelShuffle(2)"])
    add('pixelUnshuffle', lambda x: F.pixel_unshuffle(x, 2), [torch.randn(2, 4, 6)], [2], modules=["nn.PixelUnshuffle(2)"])


def running():
    x = torch.tensor([[1.0, 3.0, 3.0, -2.0, 5.0], [0.5, 0.5, -1.0, -1.0, 0.0]])
    for dim in (0, 1):
        for name in ('cummax', 'cummin'):
            add(name, lambda t: tuple(getattr(torch, name)(t, dim)), [x], [dim + 1])
        add('logcumsumexp', lambda t: torch.logcumsumexp(t, dim), [x * 3], [dim + 1])
    add('cummax', lambda t: tuple(torch.cummax(t, 0)), [torch.randn(2, 3, 2)], [1])
    far = torch.tensor([-800.0, 0.0, 800.0, 799.0])
    add('logcumsumexp', lambda t: torch.logcumsumexp(t, 0), [far], [1])


def bags():
    ids, offsets = torch.tensor([1, 0, 3, 2, 2, 3]), torch.tensor([0, 2, 2, 5])
    for mode in ('sum', 'mean', 'max'):
        for padding in (None, 2):
            options = {'mode': mode}
            if padding is not None:
                options['paddingIndex'] = padding + 1
            weight = torch.randn(4, 2)
            for arguments in ((ids, offsets), (ids.view(2, 3),)):
                w = weight.clone().requires_grad_(True)
                y = F.embedding_bag(arguments[0], w, *arguments[1:], mode=mode, padding_idx=padding)
                grad = torch.randn(y.shape)
                y.backward(grad)
                rows.append({'name': 'EmbeddingBag', 'inputs': [a + 1 for a in arguments], 'arguments': [options],
                             'weight': weight, 'output': y.detach(), 'gradOutput': grad, 'grads': [w.grad]})


padding()
upsampling()
sampling()
shuffles()
running()
bags()
write('resample.lua', 'padding, upsampling, sampling, running operations, bags of embeddings', rows)
