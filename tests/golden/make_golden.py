#!/usr/bin/env python3
"""Writes losses.lua, optim.lua and norm.lua beside this file: values that PyTorch computes, in float64.

Needs PyTorch (the files here were made with 2.0.1 on the CPU); the tests themselves read only the files.
"""
import os
import sys
import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))


def lua(value, indent=0):
    """A Lua literal of numbers, strings, tensors, lists and dictionaries."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (int, str)):
        return repr(value)
    if isinstance(value, list):
        return '{' + ', '.join(lua(v) for v in value) + '}'
    pad = ' ' * (indent + 4)
    rows = [f'{pad}{k} = {lua(v, indent + 4)},\n' for k, v in value.items()]
    return '{\n' + ''.join(rows) + ' ' * indent + '}'


def write(name, what, rows):
    with open(os.path.join(HERE, name), 'w') as f:
        f.write(f'-- {name}: {what}, computed by PyTorch {torch.__version__.split("+")[0]} in float64.\n'
                f'-- Made by {os.path.basename(sys.argv[0])}; not edited by hand.\n'
                '-- luacheck: no max line length\nreturn {\n')
        for row in rows:
            f.write('    ' + lua(row, 4) + ',\n')
        f.write('}\n')


def losses():
    torch.manual_seed(1)
    logits = torch.randn(6, 5) * 2
    vector = torch.randn(5)
    labels = torch.tensor([0, 4, 2, 1, 4, 3])
    weight = torch.rand(5) + 0.5
    soft = torch.rand(6, 5)
    soft = soft / soft.sum(1, keepdim=True)
    pair, other = torch.randn(3, 4) * 1.5, torch.randn(3, 4)
    probabilities, bits = torch.rand(3, 4), torch.randint(0, 2, (3, 4)).double()
    element = torch.rand(3, 4)
    rows = []

    def add(criterion, f, x, target, options=None, lua_options=None, one_based=False):
        x = x.clone().requires_grad_(True)
        loss = f(x, target, **(options or {}))
        # with reduction 'none', the gradient is that of the sum
        loss.sum().backward()
        rows.append({'criterion': criterion, 'options': lua_options or {}, 'input': x.detach(),
                     'target': target + 1 if one_based else target, 'loss': loss.detach(), 'grad': x.grad})

    for reduction in ('mean', 'sum', 'none'):
        r = {'reduction': reduction}
        for name, f, x in (('CrossEntropyCriterion', F.cross_entropy, logits),
                           ('ClassNLLCriterion', F.nll_loss, F.log_softmax(logits, 1))):
            add(name, f, x, labels, r, r, True)
            add(name, f, x, labels, {'weight': weight, **r}, {'weight': weight, **r}, True)
            add(name, f, x, labels, {'weight': weight, 'ignore_index': 4, **r},
                {'weight': weight, 'ignoreIndex': 5, **r}, True)
        add('CrossEntropyCriterion', F.cross_entropy, logits, labels, {'label_smoothing': 0.1, **r},
            {'labelSmoothing': 0.1, **r}, True)
        add('CrossEntropyCriterion', F.cross_entropy, logits, labels,
            {'weight': weight, 'label_smoothing': 0.3, 'ignore_index': 2, **r},
            {'weight': weight, 'labelSmoothing': 0.3, 'ignoreIndex': 3, **r}, True)
        add('CrossEntropyCriterion', F.cross_entropy, logits, soft, r, r)
        add('CrossEntropyCriterion', F.cross_entropy, logits, soft, {'weight': weight, 'label_smoothing': 0.2, **r},
            {'weight': weight, 'labelSmoothing': 0.2, **r})
        for name, f in (('MSECriterion', F.mse_loss), ('AbsCriterion', F.l1_loss),
                        ('SmoothL1Criterion', F.smooth_l1_loss), ('HuberCriterion', F.huber_loss)):
            add(name, f, pair, other, r, r)
        add('SmoothL1Criterion', F.smooth_l1_loss, pair, other, {'beta': 0.5, **r}, {'beta': 0.5, **r})
        add('HuberCriterion', F.huber_loss, pair, other, {'delta': 0.5, **r}, {'delta': 0.5, **r})
        for name, f, x in (('BCECriterion', F.binary_cross_entropy, probabilities),
                           ('BCEWithLogitsCriterion', F.binary_cross_entropy_with_logits, pair)):
            add(name, f, x, bits, r, r)
            add(name, f, x, bits, {'weight': element, **r}, {'weight': element, **r})
        add('DistKLDivCriterion', F.kl_div, F.log_softmax(pair, 1), F.softmax(other, 1), r, r)
    add('CrossEntropyCriterion', F.cross_entropy, vector, torch.tensor(3), {}, {}, True)
    add('ClassNLLCriterion', F.nll_loss, F.log_softmax(vector, 0), torch.tensor(3), {}, {}, True)
    add('CrossEntropyCriterion', F.cross_entropy, logits * 400, labels, {}, {}, True)
    add('BCECriterion', F.binary_cross_entropy, torch.tensor([0.0, 1.0, 0.5]), torch.tensor([1.0, 1.0, 0.0]))
    add('BCEWithLogitsCriterion', F.binary_cross_entropy_with_logits, torch.tensor([-800.0, 800.0, 0.0]),
        torch.tensor([1.0, 1.0, 0.0]))
    write('losses.lua', 'losses and their gradients', rows)


def optimizers():
    """Twenty steps on f(p, q) = sum(a p^4) + sum(sin(p) q): p after each fifth step."""
    torch.manual_seed(2)
    start, side, a = torch.randn(2, 3), torch.randn(2, 3), torch.rand(2, 3)
    rows = []

    def add(name, options, lua_options):
        p, q = start.clone().requires_grad_(True), side.clone().requires_grad_(True)
        opt = getattr(torch.optim, name)([p, q], **options)
        after = []
        for step in range(20):
            opt.zero_grad()
            ((a * p ** 4).sum() + (torch.sin(p) * q).sum()).backward()
            opt.step()
            if step % 5 == 4:
                after.append([p.detach().tolist(), q.detach().tolist()])
        rows.append({'name': name, 'options': lua_options, 'after': after})

    def sgd(**o):
        names = {'weight_decay': 'weightDecay'}
        add('SGD', o, {names.get(k, k): v for k, v in o.items()})

    sgd(lr=0.05)
    sgd(lr=0.05, weight_decay=0.1)
    sgd(lr=0.02, momentum=0.9)
    sgd(lr=0.02, momentum=0.9, dampening=0.5)
    sgd(lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.01)
    for name in ('Adam', 'AdamW'):
        add(name, {'lr': 0.05}, {'lr': 0.05})
        add(name, {'lr': 0.02, 'betas': (0.8, 0.95), 'eps': 1e-3, 'weight_decay': 0.1},
            {'lr': 0.02, 'beta1': 0.8, 'beta2': 0.95, 'eps': 1e-3, 'weightDecay': 0.1})
    add('RMSprop', {'lr': 0.02}, {'lr': 0.02})
    add('RMSprop', {'lr': 0.02, 'alpha': 0.9, 'eps': 1e-4, 'weight_decay': 0.05},
        {'lr': 0.02, 'alpha': 0.9, 'eps': 1e-4, 'weightDecay': 0.05})
    add('RMSprop', {'lr': 0.01, 'momentum': 0.9}, {'lr': 0.01, 'momentum': 0.9})

    write('optim.lua', 'parameters after 5, 10, 15 and 20 steps of optimizers',
          [{'start': start, 'side': side, 'a': a}] + rows)


def norm_row(module, arguments, names, shape):
    """Two training steps and one evaluation of a module; gradients are those of the first step."""
    steps = [torch.randn(shape) * 2 + 1 for _ in range(3)]
    grad = torch.randn(shape)
    with torch.no_grad():
        for p in module.parameters():
            p.uniform_(-1, 2)
    x = steps[0].clone().requires_grad_(True)
    y = module(x)
    y.backward(grad)
    row = {'module': ' '.join(names), 'arguments': arguments, 'steps': steps, 'gradOutput': grad, 'output': y.detach(),
           'gradInput': x.grad}
    for name, p in module.named_parameters():
        row[name] = p.detach()
        row['grad' + name.capitalize()] = p.grad
    with torch.no_grad():
        module(steps[1])
        for name, b in module.named_buffers():
            if b.dim() > 0:
                row[name] = b.clone()
        row['evaluated'] = module.eval()(steps[2])
    return row


def normalisation():
    torch.manual_seed(3)
    rows = []

    def add(*what):
        rows.append(norm_row(*what))

    nn = torch.nn
    for cls, torch7, shape in ((nn.BatchNorm1d, 'BatchNormalization', (4, 3)),
                               (nn.BatchNorm2d, 'SpatialBatchNormalization', (2, 3, 2, 3)),
                               (nn.BatchNorm3d, 'VolumetricBatchNormalization', (2, 2, 2, 1, 2))):
        add(cls(shape[1]), [shape[1]], [cls.__name__, torch7], shape)
        add(cls(shape[1], eps=0.1, momentum=0.4), [shape[1], 0.1, 0.4], [torch7], shape)
        add(cls(shape[1], affine=False), [shape[1], {'affine': False}], [cls.__name__], shape)
    add(nn.BatchNorm1d(3, momentum=0.3), [3, {'momentum': 0.3}], ['BatchNorm1d'], (2, 3, 4))
    add(nn.LayerNorm(4), [4], ['LayerNorm'], (3, 4))
    add(nn.LayerNorm([3, 4], eps=0.1), [[3, 4], {'eps': 0.1}], ['LayerNorm'], (2, 3, 4))
    add(nn.LayerNorm(4, elementwise_affine=False), [4, {'affine': False}], ['LayerNorm'], (2, 3, 4))
    add(nn.GroupNorm(2, 4), [2, 4], ['GroupNorm'], (2, 4, 3))
    add(nn.GroupNorm(4, 4, eps=0.1), [4, 4, {'eps': 0.1}], ['GroupNorm'], (2, 4, 2, 2))
    add(nn.GroupNorm(1, 4, affine=False), [1, 4, {'affine': False}], ['GroupNorm'], (3, 4))
    write('norm.lua', 'a training step, running statistics after two, an evaluation', rows)


if __name__ == '__main__':
    losses()
    optimizers()
    normalisation()
