-- hints.lua: likely slips, of those who come from PyTorch or from Torch7, and what to say about them.
--
-- Each table maps a name that does not exist to a sentence. The one who looks a name up and finds nothing asks here.
local M = {}

-- Methods and fields of tensors.
M.tensor = {
    shape = 'x.shape: use x:size()',
    dtype = 'x.dtype: use x:type()',
    ndim = 'x.ndim: use x:dim()',
    T = 'x.T: use x:t()',
    requires_grad = 'x.requires_grad: the field is x.requiresGrad',
    requires_grad_ = 'x:requires_grad_(): write x.requiresGrad = true',
    zero_ = 'x:zero_(): x:zero() works in place; there are no trailing underscores',
    add_ = 'x:add_(y): x:add(y) works in place; torch.add(x, y) is new',
    sub_ = 'x:sub_(y): x:csub(y) works in place',
    mul_ = 'x:mul_(y): x:mul(number) and x:cmul(tensor) work in place',
    div_ = 'x:div_(y): x:div(number) and x:cdiv(tensor) work in place',
    copy_ = 'x:copy_(y): x:copy(y) works in place',
    fill_ = 'x:fill_(v): x:fill(v) works in place',
    clamp_ = 'x:clamp_(a, b): x:clamp(a, b) works in place',
    uniform_ = 'x:uniform_(a, b): x:uniform(a, b) works in place',
    normal_ = 'x:normal_(mean, std): x:normal(mean, std) works in place',
    matmul_ = 'x:matmul_(y): use x * y or torch.matmul(x, y)',
    zero_grad = 'x:zero_grad(): gradients are cleared by opt:zeroGrad() or x.grad:zero()',
    masked_fill = 'x:masked_fill(): the name is maskedFill (in place)',
    index_select = 'x:index_select(): the name is index(dim, indices)',
    view_as = 'x:view_as(y): the name is viewAs',
    expand_as = 'x:expand_as(y): the name is expandAs',
    type_as = 'x:type_as(y): the name is typeAs',
    is_contiguous = 'x:is_contiguous(): the name is isContiguous',
    data_ptr = 'x:data_ptr(): the name is data()',
    numpy = 'x:numpy(): there is no NumPy here; x:totable() gives Lua tables',
}

-- Functions of torch.
M.torch = {
    no_grad = 'torch.no_grad(): use torch.noGrad(function() … end)',
    manual_seed = 'torch.manual_seed(): the name is manualSeed',
    zeros_like = 'torch.zeros_like(): the name is zerosLike',
    ones_like = 'torch.ones_like(): the name is onesLike',
    is_tensor = 'torch.is_tensor(): the name is isTensor',
    set_grad_enabled = 'torch.set_grad_enabled(): the name is setGradEnabled',
    set_default_dtype = "torch.set_default_dtype(): use torch.setdefaulttensortype('torch.DoubleTensor')",
    from_numpy = 'torch.from_numpy(): there is no NumPy here; torch.tensor(table) holds values',
    log_softmax = 'torch.log_softmax(): the name is logSoftmax',
    optim = "torch.optim: require 'optim' sets the global optim",
    nn = "torch.nn: require 'nn' sets the global nn",
    utils = "torch.utils: data sets and loaders are in require 'dlrun.data'",
}

-- Methods of Lua numbers: what a loss is outside the tape.
M.number = {
    backward = 'backward on a number: it is not on the tape; call model(x), not model:forward(x), and criterion(out, y)',
    size = 'size of a number: full reductions and single elements are Lua numbers',
    detach = 'detach on a number: full reductions outside the tape are Lua numbers already',
}

-- Methods of nn modules and criterions.
M.module = {
    train = 'model:train(): use model:training()',
    eval_ = 'model:eval_(): use model:evaluate()',
    zero_grad = 'model:zero_grad(): use opt:zeroGrad() or model:zeroGradParameters()',
    state_dict = 'model:state_dict(): use model:stateDict(), or model:save(path)',
    load_state_dict = 'model:load_state_dict(): use model:load(path)',
    named_parameters = 'model:named_parameters(): the name is namedParameters',
}

-- Fields and methods of optimizers.
M.optimizer = {
    zero_grad = 'opt:zero_grad(): the name is zeroGrad',
    state_dict = 'opt:state_dict(): the name is stateDict',
    param_groups = 'opt.param_groups: opt.lr reads and sets the learning rate',
}

-- optim's functions called like its classes.
M.optim = {
    adam = 'optim.adam(params, …) wants (feval, x, state); did you mean optim.Adam?',
    sgd = 'optim.sgd(params, …) wants (feval, x, state); did you mean optim.SGD?',
    rmsprop = 'optim.rmsprop(params, …) wants (feval, x, state); did you mean optim.RMSprop?',
}

-- Values rather than names.
M.labels = 'labels start at 1; y:add(1)?'
M.softmaxBeforeCrossEntropy = 'the rows sum to 1: cross entropy wants logits; leave the softmax out'
M.equality = 'x == number is false: == compares identity; x:eq(number) compares elements, x:item() gives a number'
M.notOnTape = 'not on the tape; call model(x)'

return M
