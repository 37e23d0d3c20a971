/* test_ops_infer.c - the shape rules of core/ops: known answers for shapes, dtypes and strides; what bad calls are told. */
#include "dlrun/dlrun.h"
#include "dlrun/plugin.h"
#include "ops_support.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What a call gives: for each output its dtype and shape; of views also strides and offset (elements). "!text": it fails and
 * the message contains the text. */
typedef struct row {
    const char *op, *in, *attr, *expected;
} row;

static const row views[] = {
    {"view", "2,6", "[3,4]", "float64 (3, 4) (4, 1) 0"},
    {"view", "2,6", "[-1,2,3]", "float64 (2, 2, 3) (6, 3, 1) 0"},
    {"view", "2,3^", "[2,3,1]", "float64 (2, 3, 1) (1, 2, 2) 0"},
    {"view", "2,3^", "[2,1,3]", "float64 (2, 1, 3) (1, 6, 2) 0"},
    {"view", "2,4,3^", "[2,4,3,1]", "float64 (2, 4, 3, 1) (12, 1, 4, 4) 0"},
    {"view", "2,4,3^", "[2,2,2,3]", "float64 (2, 2, 2, 3) (12, 2, 1, 4) 0"},
    {"view", "2,4,3^", "[8,3]", "!cannot be seen as (8, 3) without a copy: use reshape"},
    {"view", "2,3^", "[6]", "!strides (1, 2) cannot be seen as (6)"},
    {"view", "()", "[1,1]", "float64 (1, 1) (1, 1) 0"},
    {"view", "1,1", "[]", "float64 () () 0"},
    {"view", "0,3", "[3,0,2]", "float64 (3, 0, 2) (2, 2, 1) 0"},
    {"view", "0,3", "[-1,4]", "float64 (0, 4) (4, 1) 0"},
    {"view", "0,3", "[-1,0]", "!-1 in (-1, 0) could be any size"},
    {"view", "2,3", "[4]", "!the shape (4) does not fit 6 elements"},
    {"view", "2,3", "[-1,-1]", "!at most one -1"},
    {"view", "2,3", "[4,-1]", "!the shape (4, -1) does not fit 6 elements"},
    {"as_strided", "3,4", "[2,2] [4,1] 5", "float64 (2, 2) (4, 1) 5"},
    {"as_strided", "3,4", "[3,5] [4,1] 0", "!leaves the storage of 12 elements"},
    {"as_strided", "3,4", "[2] [1] -1", "!from element -1"},
    {"as_strided", "3,4", "[2] [-1] 5", "!cannot be negative"},
    {"as_strided", "3,4", "[2,2] [1]", "!as many strides as sizes"},
    {"as_strided", "3,4", "[4611686018427387904,4] [4,1]", "!leaves the storage"},
    {"as_strided", "3,4", "[0,5] [9,9]", "float64 (0, 5) (9, 9) 0"},
    {"select", "3,4", "0 2", "float64 (4) (1) 8"},
    {"select", "3,4", "-1 -4", "float64 (3) (4) 0"},
    {"select", "3,4", "1 4", "!index 4 is out of range: dimension 1 of (3, 4) has size 4"},
    {"select", "3,4", "2 0", "!dimension 2 is out of range: expected -2 to 1 for a tensor of 2 dimensions"},
    {"select", "()", "0 0", "!0-dim"},
    {"slice", "3,8", "1 1 3 2", "float64 (3, 3) (8, 2) 1"},
    {"slice", "3,8", "0 -1 1", "float64 (1, 8) (8, 1) 16"},
    {"slice", "3,8", "1 8 0", "float64 (3, 0) (8, 1) 0"},
    {"slice", "3,8", "1 2 4 2", "!4 slices from 2 in steps of 2 leave dimension 1 of (3, 8)"},
    {"slice", "3,8", "1 2 3 0", "!expected a step of 1 or more"},
    {"slice", "3,8", "1 2 -1", "!-1 slices"},
    {"transpose", "2,3,4", "0 -1", "float64 (4, 3, 2) (1, 4, 12) 0"},
    {"transpose", "()", "0 -1", "float64 () () 0"},
    {"permute", "2,3,4", "[2,0,1]", "float64 (4, 2, 3) (1, 12, 4) 0"},
    {"permute", "2,3,4", "[2,0,-1]", "!dimension -1 comes twice"},
    {"permute", "2,3,4", "[2,0]", "!expected 3 dimensions in a permutation of (2, 3, 4), got 2"},
    {"expand", "3,1", "[2,-1,4]", "float64 (2, 3, 4) (0, 1, 0) 0"},
    {"expand", "()", "[2]", "float64 (2) (0) 0"},
    {"expand", "1", "[0]", "float64 (0) (0) 0"},
    {"expand", "3", "[4]", "!(3) does not expand to (4): dimension 0 has size 3"},
    {"expand", "3", "[-1,3]", "!does not expand"},
    {"expand", "3,1", "[3]", "!more dimensions"},
    {"squeeze", "1,3,1", "[]", "float64 (3) (1) 0"},
    {"squeeze", "1,3,1", "[-1,1]", "float64 (1, 3) (3, 1) 0"},
    {"squeeze", "1,3,1", "[0,0]", "!named twice"},
    {"unsqueeze", "3", "0", "float64 (1, 3) (3, 1) 0"},
    {"unsqueeze", "3", "-1", "float64 (3, 1) (1, 1) 0"},
    {"unsqueeze", "1,1,1,1,1,1,1,1,1,1,1,1", "0", "!13 dimensions, the most is 12"},
    {"unfold", "2,7", "1 3 2", "float64 (2, 3, 3) (7, 2, 1) 0"},
    {"unfold", "2,7", "1 8 2", "!a window of 8 does not fit dimension 1 of (2, 7)"},
    {"diagonal", "3,4", "1", "float64 (3) (5) 1"},
    {"diagonal", "3,4", "-1", "float64 (2) (5) 4"},
    {"diagonal", "3,4", "9", "float64 (0) (5) 0"},
    {"diagonal", "2,3,4", "0 0 2", "float64 (3, 2) (4, 13) 0"},
    {"diagonal", "3,4", "0 1 -1", "!two different dimensions"},
    {"diagonal", "4", "", "!2 dimensions or more"},
};

static const row shapes[] = {
    {"reshape", "2,4,3^", "[8,3]", "float64 (8, 3)"},
    {"pad", "2,3", "[1,2,3,4] 'constant'", "float64 (9, 6)"},
    {"pad", "n:2,3", "[-1,-2] 'constant'", "int32 (2, 0)"},
    {"pad", "2,3", "[1,2,3] 'constant'", "!two pads for each of at most 2 dimensions of (2, 3), got (1, 2, 3)"},
    {"pad", "3", "[1,2,3,4] 'constant'", "!at most 1 dimensions"},
    {"pad", "2,3", "[-2,-2] 'constant'", "!the pads -2 and -2 remove more than dimension 1 of (2, 3) has"},
    {"pad", "2,3", "[4611686018427387904,0] 'constant'", "!are too large"},
    {"pad", "2,3", "[-4611686018427387904,-4611686018427387904] 'constant'", "!are too large"},
    {"pad", "2,3", "[1,3] 'reflect'", "!mode 'reflect' can add to dimension 1 of (2, 3) at most less than its size, got 3"},
    {"pad", "2,3", "[4,0] 'circular'", "!at most what is left of it, got 4"},
    {"pad", "2,0", "[1,0] 'replicate'", "!since it is empty, got 1"},
    {"pad", "2,3", "[1,1] 'mirror'", "!expected the mode 'constant', 'reflect', 'replicate' or 'circular', got 'mirror'"},
    {"pad_backward", "2,6", "[2,3] [1,2] 'reflect'", "float64 (2, 3)"},
    {"pad_backward", "2,5", "[2,3] [1,2] 'reflect'", "!expected a gradient of shape (2, 6), got (2, 5)"},
    {"pad_backward", "n:2,6", "[2,3] [1,2] 'reflect'", "!floating"},
    {"upsample", "f:1,2,3", "[6] 'linear'", "float32 (1, 2, 6)"},
    {"upsample", "u:1,2,3,4", "[6,2] 'nearest'", "uint8 (1, 2, 6, 2)"},
    {"upsample", "u:1,2,3,4", "[6,2] 'linear'", "!expected a floating dtype, got uint8"},
    {"upsample", "1,2,3,4", "[6] 'linear'",
     "!expected 1 to 3 sizes and x (N, C, ...) with as many behind the channels, got (6)"},
    {"upsample", "1,2,3,4", "[6,0] 'linear'", "!sizes before and after must be from 1"},
    {"upsample", "1,2,3,4", "[6,2] 'nearest' 1", "!align_corners has no meaning in mode 'nearest'"},
    {"upsample", "1,2,3,4", "[6,2] 'linear' 0 -1.0", "!expected a scale above 0"},
    {"upsample", "1,2,3,4", "[6,2] 'area'", "!expected the mode 'nearest', 'nearest-exact', 'linear' or 'cubic', got 'area'"},
    {"upsample_backward", "1,2,6", "[3] 'cubic'", "float64 (1, 2, 3)"},
    {"upsample_backward", "u:1,2,6", "[3] 'nearest'", "!floating"},
    {"grid_sample", "2,3,4,5 2,6,7,2", "'linear' 'zeros'", "float64 (2, 3, 6, 7)"},
    {"grid_sample", "2,3,4,5,6 2,6,7,8,3", "'linear' 'zeros'", "float64 (2, 3, 6, 7, 8)"},
    {"grid_sample", "2,3,4,5 3,6,7,2", "'linear' 'zeros'", "!expected x (N, C, H, W) and a grid (N, h, w, 2)"},
    {"grid_sample", "2,3,4,5 f:2,6,7,2", "'linear' 'zeros'", "!dtypes differ"},
    {"grid_sample", "2,3,0,5 2,6,7,2", "'linear' 'zeros'", "!nothing to sample in x (2, 3, 0, 5)"},
    {"grid_sample", "2,3,4,5,6 2,6,7,8,3", "'cubic' 'zeros'", "!mode 'cubic' needs x (N, C, H, W)"},
    {"grid_sample", "2,3,4,5 2,6,7,2", "'linear' 'zeros' 0 [1]", "!expected an order for each of 2 coordinates, got (1)"},
    {"grid_sample", "2,3,4,5 2,6,7,2", "'linear' 'wrap'",
     "!expected the padding 'zeros', 'border' or 'reflection', got 'wrap'"},
    {"grid_sample_backward", "2,3,6,7 2,6,7,2", "[2,3,4,5] 'linear' 'zeros'", "float64 (2, 3, 4, 5)"},
    {"grid_sample_backward", "2,3,6,8 2,6,7,2", "[2,3,4,5] 'linear' 'zeros'", "!a gradient (2, 3, 6, 8) does not fit"},
    {"affine_grid", "2,2,3", "[2,1,4,5]", "float64 (2, 4, 5, 2)"},
    {"affine_grid", "2,2,3", "[3,1,4,5]", "!expected theta (3, 2, 3), got (2, 2, 3)"},
    {"affine_grid", "2,2,3", "[2,4,5]", "!expected a size (N, C, H, W) or (N, C, D, H, W), got (2, 4, 5)"},
    {"cummax", "n:2,3", "1", "int32 (2, 3) int64 (2, 3)"},
    {"cummax", "2,3", "2", "!dimension 2 is out of range"},
    {"logcumsumexp", "2,3", "-1", "float64 (2, 3)"},
    {"logcumsumexp", "n:2,3", "-1", "!floating"},
    {"index_select_backward", "4,2 i:4", "0 9", "float64 (9, 2)"},
    {"index_select_backward", "4,2 i:3", "0 9", "!expected a slice of grad (4, 2) for each of 3 indices"},
    {"index_select_backward", "4,2 i:4", "0 -1", "!a size cannot be negative: -1"},
    {"view_backward", "2,2", "[3,3] [3,1] 1", "float64 (3, 3)"},
    {"view_backward", "2,2", "[3,3] [3,1] 6", "!leaves a contiguous (3, 3)"},
    {"full", "", "[2,3] 1.5", "float32 (2, 3)"},
    {"full", "", "[] 1 8", "int64 ()"},
    {"full", "", "[2,-3] 1", "!a size cannot be negative: (2, -3)"},
    {"full", "", "[2] 1 77", "!77"},
    {"arange", "", "0 2 5", "float32 (5)"},
    {"arange", "", "0 2 -5", "!length of 0 or more"},
    {"eye", "", "2 3 1", "float64 (2, 3)"},
    {"uniform", "", "[4] 0.0 1.0", "float32 (4)"},
    {"uniform", "", "[4] 1.0 0.0", "!expected lo <= hi"},
    {"uniform", "", "[4] 0.0 1.0 8", "!expected a floating dtype, got int64"},
    {"normal", "", "[4] 0.0 -1.0", "!standard deviation"},
    {"bernoulli", "", "[4] 1.5", "!probability from 0 to 1, got 1.5"},
    {"random_int", "", "[4] 5 2", "!expected lo <= hi, got 5 and 2"},
    {"randperm", "", "5", "int64 (5)"},
    {"copy", "2,3", "", "float64 (2, 3)"},
    {"copy", "2,3", "0", "float32 (2, 3)"},
    {"cat", "2,3 2,1 2,4", "1", "float64 (2, 8)"},
    {"cat", "f:2 i:3", "-1", "float32 (5)"},
    {"cat", "2,3 3,3", "1", "!tensor 1 has shape (3, 3), expected that of tensor 0, (2, 3), except for dimension 1"},
    {"cat", "()", "0", "!use stack"},
    {"cat", "", "0", "!at least one tensor"},
    {"stack", "2,3 2,3", "1", "float64 (2, 2, 3)"},
    {"stack", "() () ()", "-1", "float64 (3)"},
    {"stack", "2,3 2,4", "0", "!tensor 1 has shape (2, 4)"},
    {"repeat", "2,3", "[2,1,3]", "float64 (2, 2, 9)"},
    {"repeat", "2,3", "[0,1]", "float64 (0, 3)"},
    {"repeat", "2,3", "[2]", "!a count for each of the 2 dimensions"},
    {"tril", "2,3", "0", "float64 (2, 3)"},
    {"triu", "3", "0", "!a matrix"},
    {"sum", "2,3", "[]", "float64 ()"},
    {"sum", "2,3,4", "[0,-1]", "float64 (3)"},
    {"sum", "2,3,4", "[0,-1] 1", "float64 (1, 3, 1)"},
    {"sum", "n:2,3", "[1]", "int64 (2)"},
    {"sum", "b:2,3", "[1] 0 0", "float32 (2)"},
    {"sum", "2,3", "[2]", "!dimension 2 is out of range"},
    {"sum", "2,3", "[1,-1]", "!dimension -1 is named twice"},
    {"sum", "()", "[0]", "float64 ()"},
    {"sum", "0,3", "[0]", "float64 (3)"},
    {"sum_to", "2,3,4", "[3,1]", "float64 (3, 1)"},
    {"sum_to", "2,3", "[2,3]", "float64 (2, 3)"},
    {"sum_to", "2,3", "[4]", "!(2, 3) does not come from broadcasting (4)"},
    {"prod", "u:2,3", "[0]", "int64 (3)"},
    {"mean", "f:2,3", "[0] 1", "float32 (1, 3)"},
    {"mean", "i:2,3", "[]", "!expected a floating dtype, got int64: convert to float32 first"},
    {"var", "2,3", "[1]", "float64 (2)"},
    {"var", "2,3", "[1] -1", "!correction"},
    {"amax", "2,3", "[0]", "float64 (3)"},
    {"amax", "2,0", "[1]", "!dimension 1 of (2, 0) has size 0"},
    {"amax", "2,0", "[0]", "float64 (0)"},
    {"max_dim", "2,3", "1", "float64 (2) int64 (2)"},
    {"min_dim", "n:2,3", "0 1", "int32 (1, 3) int64 (1, 3)"},
    {"max_dim", "2,0", "1", "!has size 0"},
    {"argmax", "2,3", "[]", "int64 ()"},
    {"argmin", "2,3", "[-1] 1", "int64 (2, 1)"},
    {"argmax", "2,3", "[0,1]", "!one dimension, or none"},
    {"any", "2,3", "[0]", "bool (3)"},
    {"all", "2,3", "[]", "bool ()"},
    {"norm", "2,3", "2.0 [1]", "float64 (2)"},
    {"norm", "2,3", "-1.0", "!a norm of 0 or more"},
    {"logsumexp", "2,3", "[1]", "float64 (2)"},
    {"cumsum", "n:2,3", "1", "int64 (2, 3)"},
    {"cumprod", "2,3", "-1", "float64 (2, 3)"},
    {"sort", "n:2,3", "1", "int32 (2, 3) int64 (2, 3)"},
    {"sort", "2,0", "-1 1", "float64 (2, 0) int64 (2, 0)"},
    {"sort", "2,3", "2", "!dimension 2 is out of range"},
    {"topk", "2,3", "2 1", "float64 (2, 2) int64 (2, 2)"},
    {"topk", "2,3", "0 -2", "float64 (0, 3) int64 (0, 3)"},
    {"topk", "2,3", "4 1", "!expected a k of 0 to 3, the size of dimension 1 of (2, 3), got 4"},
    {"topk", "()", "0 0", "!expected a k of 1 to 1"},
    {"kthvalue", "2,3", "2 0", "float64 (3) int64 (3)"},
    {"kthvalue", "2,3", "1 -1 1", "float64 (2, 1) int64 (2, 1)"},
    {"kthvalue", "2,3", "0 1", "!expected a k of 1 to 3"},
    {"kthvalue", "2,0", "1 1", "!dimension 1 of (2, 0) has size 0"},
    {"median", "b:2,3", "1", "bool (2) int64 (2)"},
    {"median", "()", "-1", "float64 () int64 ()"},
    {"median", "0,3", "0", "!dimension 0 of (0, 3) has size 0"},
    {"median", "0,3", "1", "float64 (0) int64 (0)"},
    {"mode", "2,3", "0 1", "float64 (1, 3) int64 (1, 3)"},
    {"matmul", "2,3 3,4", "", "float64 (2, 4)"},
    {"matmul", "3 3", "", "float64 ()"},
    {"matmul", "3 5,3,4", "", "float64 (5, 4)"},
    {"matmul", "5,2,3 3", "", "float64 (5, 2)"},
    {"matmul", "5,1,2,3 4,3,7", "", "float64 (5, 4, 2, 7)"},
    {"matmul", "64,784 256,128", "",
     "!matmul: inner sizes differ: (64, 784) x (256, 128): expected 784 rows in the second matrix"},
    {"matmul", "2,3 2", "", "!expected 3 elements in the second vector"},
    {"matmul", "2,2,3 3,3,4", "", "!shapes (2) and (3) do not broadcast"},
    {"matmul", "2,3 f:3,4", "", "!dtypes differ: the first is float64 and the second is float32"},
    {"matmul", "() 3", "", "!use mul for scalars"},
    {"linear", "5,3 4,3 4", "", "float64 (5, 4)"},
    {"linear", "3 4,3 -", "", "float64 (4)"},
    {"linear", "5,2 4,3 -", "", "!expected 3 input features (the weight is (4, 3)), got an input of shape (5, 2)"},
    {"linear", "5,3 4,3 3", "", "!expected a bias of shape (4), got (3)"},
    {"linear", "5,3 3 -", "", "!expected a weight of shape (out, in), got (3)"},
    {"max_pool", "2,3,5,7", "[2,3]", "float64 (2, 3, 2, 2) int64 (2, 3, 2, 2)"},
    {"max_pool", "h:3,5,7", "[3] [2] [1]", "float16 (3, 5, 4) int64 (3, 5, 4)"},
    {"max_pool", "2,5,5", "[2,2] [] [] [] 1", "float64 (2, 3, 3) int64 (2, 3, 3)"},
    {"max_pool", "2,5,5", "[2,2] [3] [1] [] 1", "float64 (2, 2, 2) int64 (2, 2, 2)"},
    {"max_pool", "i:2,5@0:5", "[2]", "!expected a floating"},
    {"max_pool", "2,2", "[2] [1] [1] [3]", "!the window does not fit"},
    {"max_pool", "2,5", "[2,2,2]", "!expected at least the 3 dimensions that kernel stands for"},
    {"avg_pool", "2,5,5", "[3,3] [2] [1]", "float64 (2, 3, 3)"},
    {"avg_pool", "2,5", "[2] [] [] 0 1 -1", "!expected a divisor of 1 or more, or 0 for none, got -1"},
    {"avg_pool_backward", "2,3", "[5] [2]", "!expected a gradient whose last sizes are (2), got shape (2, 3)"},
    {"adaptive_avg_pool", "2,5,5", "[3,2]", "float64 (2, 3, 2)"},
    {"adaptive_max_pool", "2,0", "[3]", "!expected at least one element along each of the last 1 dimensions"},
    {"fractional_max_pool", "2,8 2,1@0:1", "[2] [4]", "float64 (2, 4) int64 (2, 4)"},
    {"fractional_max_pool", "2,8 2,2@0:1", "[2] [4]", "!expected draws of shape (2, 1)"},
    {"fractional_max_pool", "2,8 2,1@0:1", "[2] [8]", "!expected size + kernel - 1 of at most x's"},
    {"max_unpool", "2,3 i:2,3@0:4", "[9]", "float64 (2, 9)"},
    {"max_unpool", "2,3 i:2,2@0:4", "[9]", "!expected an index for each element of (2, 3)"},
    {"max_unpool", "2,3 n:2,3@0:4", "[9]", "!expected int64 indices, as max_pool gives, got int32"},
    {"max_unpool_backward", "2,9 i:2,3@0:4", "1", "float64 (2, 3)"},
    {"max_unpool_backward", "2,9 i:3,3@0:4", "1", "!expected an index whose dimensions but the last 1 are those of x (2, 9)"},
    {"convolution", "2,3,8 4,3,3 4", "", "float64 (2, 4, 6)"},
    {"convolution", "f:2,4,8,7 f:6,2,3,2 -", "[2,1] [1] [2] 2", "float32 (2, 6, 3, 7)"},
    {"convolution", "0,1,2,3,4 2,1,1,1,1 -", "", "float64 (0, 2, 2, 3, 4)"},
    {"convolution", "2,3,8,8 4,4,3,3 -", "",
     "!expected an input of 4 channels (the weight is (4, 4, 3, 3), groups 1), got shape (2, 3, 8, 8)"},
    {"convolution", "2,6,8,8 4,3,3,3 -", "[] [] [] 3",
     "!expected a weight whose first size is a multiple of groups 3, got (4, 3, 3, 3)"},
    {"convolution", "2,3,8 4,3,3 3", "", "!expected a bias of shape (4), got (3)"},
    {"convolution", "3,8,8 4,3,3,3 -", "",
     "!expected an input of 4 dimensions, as a weight has of shape (4, 3, 3, 3), got (3, 8, 8): add a batch dimension"},
    {"convolution", "3,8 4,3 -", "", "!expected a weight of 3 to 5 dimensions, got (4, 3)"},
    {"convolution", "2,3,4,9 4,3,3,3 -", "[] [] [2]",
     "!the kernel does not fit: sizes (3, 3) with dilation (2, 2), input sizes (4, 9) with padding (0, 0)"},
    {"convolution", "2,3,8 4,3,0 -", "", "!expected a kernel of at least 1 element, got a weight of shape (4, 3, 0)"},
    {"convolution", "2,3,8 4,3,3 -", "[0]", "!expected a stride of 1 to"},
    {"convolution", "2,3,8 4,3,3 -", "[1] [-1]", "!expected a padding of 0 to"},
    {"convolution", "2,3,8 4,3,3 -", "[1,2]", "!expected one stride, or 1 for the spatial dimensions, got (1, 2)"},
    {"convolution", "2,3,8 4,3,3 -", "[] [] [] 0", "!expected groups of 1 or more, got 0"},
    {"convolution", "f:2,3,8 4,3,3 -", "", "!dtypes differ: an input is float32 and a weight is float64"},
    {"convolution", "i:2,3,8 i:4,3,3 -", "", "!expected a floating dtype, got int64"},
    {"convolution", "0,1,9 0,1,1073741824 -", "[] [] [2147483647]",
     "!the kernel does not fit: sizes (1073741824) with dilation (2147483647)"},
    {"convolution_backward_data", "2,4,6 4,3,3", "[8]", "float64 (2, 3, 8)"},
    {"convolution_backward_data", "2,4,3 4,3,3", "[8]", "!expected a gradient of shape (2, 4, 6), got (2, 4, 3)"},
    {"convolution_backward_data", "2,5,6 4,3,3", "[8]",
     "!expected a gradient of 4 channels (the weight is (4, 3, 3), groups 1), got shape (2, 5, 6)"},
    {"convolution_backward_data", "2,4,6 4,3,3", "[]", "!expected 1 values of size, one for each spatial dimension, got ()"},
    {"convolution_backward_weight", "2,4,3,3 2,6,7,7", "[3,3] [2] [0] [1] 2", "float64 (4, 3, 3, 3)"},
    {"convolution_backward_weight", "2,4,6 3,3,8", "[3]", "!expected a gradient of shape (3, 4, 6), got (2, 4, 6)"},
    {"convolution_backward_weight", "2,4,6 2,3,8", "[3] [] [] [] 2", "!expected channels that are multiples of groups 2"},
    {"convolution_transposed", "2,4,3,3 4,2,3,3 6", "[2] [1] [1] [] 3",
     "!expected a weight whose first size is a multiple of groups 3"},
    {"convolution_transposed", "2,4,3,3 4,3,3,3 6", "[2] [1] [1] [] 2", "float64 (2, 6, 6, 6)"},
    {"convolution_transposed", "2,4,3 4,3,3 -", "[2] [0] [2]",
     "!expected an output_padding below stride 2 or dilation 1, got 2"},
    {"convolution_transposed", "2,4,1 4,3,1 -", "[1] [1]", "!the result would have size -1"},
    {"convolution_transposed", "2,3,3 4,3,3 -", "",
     "!expected an input of 4 channels (the weight is (4, 3, 3), groups 1), got shape (2, 3, 3)"},
    {"addmm", "4 2,3 3,4", "", "float64 (2, 4)"},
    {"addmm", "1 5,2,3 5,3,4", "", "float64 (5, 2, 4)"},
    {"addmm", "3 2,3 3,4", "", "!c of shape (3) does not broadcast to the product's shape (2, 4)"},
    {"addmm", "n:4 n:2,3 n:3,4", "1 0.5", "!expected a whole alpha between -2^63 and 2^63 for int32, got 0.5"},
    {"addmm", "n:4 n:2,3 n:3,4", "1e30", "!expected a whole beta between -2^63 and 2^63 for int32, got 1e+30"},
    {"addmm", "4 2,3 2,3", "", "!expected a of (n, k) and b of (k, m)"},
    {"reduce", "2,3,4", "2 6", "float64 (2)"},
    {"reduce", "i:2,3,4", "0 14", "int64 (2, 3, 4)"},
    {"reduce", "2,3", "3 6", "!expected a count of 0..2 dimensions, got 3"},
    {"reduce", "2,3", "1 9", "!expected opcode 6 (+), 8 (*), 13 (max) or 14 (min), got 9"},
    {"reduce", "2,0", "1 13", "!nothing to choose from: the last 1 dimensions of (2, 0)"},
    {"gemm", "2,3,4 2,4,5", "", "float64 (2, 3, 5)"},
    {"gemm", "2,3,4 2,3,5", "", "!expected a (B, n, k) and b (B, k, m), got (2, 3, 4) and (2, 3, 5)"},
    {"gather", "2,3 i:2,5@0:3", "1", "float64 (2, 5)"},
    {"gather", "2,3 i:3,3", "1", "!an index of shape (3, 3) does not fit (2, 3)"},
    {"gather", "2,3 2,3", "1", "!expected an integer index, got float64"},
    {"scatter", "2,3 i:2,2@0:3 2,2", "1", "float64 (2, 3)"},
    {"scatter", "2,3 i:2,2@0:3 ()", "1", "float64 (2, 3)"},
    {"scatter", "2,3 i:2,2 3", "1", "!expected src of the index's shape (2, 2) or 0-dim, got (3)"},
    {"index_select", "2,3 i:5@0:2", "0", "float64 (5, 3)"},
    {"index_select", "2,3 i:5,1@0:2", "0", "!a vector of indices"},
    {"index_add", "2,3 i:2@0:3 2,2", "1", "float64 (2, 3)"},
    {"index_add", "2,3 i:2@0:3 2,3", "1", "!expected src of shape (2, 2), one slice for each of 2 indices"},
    {"index_fill", "2,3 i:2@0:3", "1 0.5", "float64 (2, 3)"},
    {"masked_select", "2,3 b:2", "", "!expected a mask of shape (2, 3), got (2)"},
    {"masked_select", "2,3 2,3", "", "!expected a mask of bool or uint8"},
    {"masked_scatter", "2,3 b:2,3 9", "", "float64 (2, 3)"},
    {"nonzero", "2,3@1:2", "", "int64 (6, 2)"},
    {"one_hot", "i:2,3", "4", "int64 (2, 3, 4)"},
    {"one_hot", "i:2,3", "0", "!1 class or more"},
    {"softmax", "2,3", "-1", "float64 (2, 3)"},
    {"softmax", "i:2,3", "-1", "!floating"},
    {"log_softmax", "2,3", "2", "!dimension 2 is out of range"},
    {"nll_loss", "4,3 i:4@0:3 -", "", "float64 () float64 ()"},
    {"nll_loss", "4,3 i:4@0:3 3", "0", "float64 (4) float64 ()"},
    {"nll_loss", "3 i:()@0:3 -", "", "float64 () float64 ()"},
    {"nll_loss", "4,3 i:5 -", "", "!a target of shape (4) for scores of shape (4, 3), got (5)"},
    {"nll_loss", "4,3 4 -", "", "!expected a whole number"},
    {"nll_loss", "4,3 b:4 -", "", "!got bool: convert to int64"},
    {"nll_loss", "4,3 i:4 4", "", "!expected class weights of shape (3), got (4)"},
    {"nll_loss", "4,3 i:4 -", "3", "!expected a reduction of 0 (none), 1 (mean) or 2 (sum), got 3"},
    {"cross_entropy", "4,3 i:4@0:3 -", "", "float64 () float64 (4, 3) float64 ()"},
    {"cross_entropy", "4,3 4,3@0:1 -", "0", "float64 (4) float64 (4, 3) float64 ()"},
    {"cross_entropy", "4,3 4,2 -", "",
     "!expected classes in a target of shape (4) or probabilities in one of shape (4, 3), got (4, 2)"},
    {"cross_entropy", "2,4,3 i:2,4 -", "", "!move the classes last and reshape to (-1, C)"},
    {"cross_entropy", "4,3 i:4 -", "1 -100 1.5", "!a smoothing from 0 to 1, got 1.5"},
    {"dropout", "2,3", "0.5", "float64 (2, 3) uint8 (2, 3)"},
    {"dropout", "2,3", "1.5", "!a probability from 0 to 1, got 1.5"},
    {"sgd", "3 3 3 1", "0.1 0.9 0.0 0.0 1", ""},
    {"sgd", "3 3 - 1", "0.1", ""},
    {"sgd", "3 3 - 1", "0.1 0.9", "!momentum buffer 0 is missing"},
    {"sgd", "3 4 3 1", "0.1", "!gradient 0 is float64 (4), expected the parameter's float64 (3)"},
    {"sgd", "3 3 3 1", "0.1 0.0 0.0 0.0 1", "!Nesterov"},
    {"adam", "3 3 3 3 1", "0.1", ""},
    {"adam", "3 3 3 3 1", "0.1 1.0", "!expected beta1 of 0 or more and below 1, got 1"},
    {"adam", "i:3 i:3 i:3 i:3 1", "0.1", "!only floating parameters"},
    {"rmsprop", "3 3 3 - 1", "0.1", ""},
    {"rmsprop", "3 3 3 3 2", "0.1", "!a step counter of one floating element"},
};

static size_t put_sizes(char *text, size_t capacity, int32_t n, const int64_t *values) {
    size_t at = (size_t)snprintf(text, capacity, " (");
    for (int32_t d = 0; d < n; d++)
        at += (size_t)snprintf(text + at, capacity - at, d ? ", %lld" : "%lld", (long long)values[d]);
    return at + (size_t)snprintf(text + at, capacity - at, ")");
}

static void describe(const ops_call *call, char *text, size_t capacity) {
    size_t at = 0;
    text[0] = 0;
    for (int32_t k = 0; k < call->n_out; k++) {
        const dl_tensor *t = call->out[k];
        at += (size_t)snprintf(text + at, capacity - at, "%s%s", k ? " " : "", dl_dtype_name(t->type));
        at += put_sizes(text + at, capacity - at, t->ndim, t->shape);
        if (!(call->info.flags & DL_OP_VIEW)) continue;
        at += put_sizes(text + at, capacity - at, t->ndim, t->strides);
        at += (size_t)snprintf(text + at, capacity - at, " %lld", (long long)t->byte_offset / dl_dtype_bytes(t->type));
    }
}

static int check(const row *r) {
    ops_call call;
    char got[512];
    ops_make(&call, r->op, r->in, r->attr, 1);
    dl_status status = ops_run(&call);
    if (status == DL_OK)
        describe(&call, got, sizeof got);
    else
        snprintf(got, sizeof got, "!%s", dl_last_error());
    int fits = *r->expected == '!'
                   ? status == DL_INVALID && strstr(got, r->expected + 1) && strncmp(got + 1, r->op, strlen(r->op)) == 0
                   : strcmp(got, r->expected) == 0;
    ops_free(&call);
    if (!fits) print_error("%s(%s | %s)\n  expected %s\n  got      %s\n", r->op, r->in, r->attr, r->expected, got);
    return !fits;
}

static void test_views(void **state) {
    (void)state;
    int wrong = 0;
    for (size_t k = 0; k < sizeof views / sizeof *views; k++) wrong += check(&views[k]);
    assert_int_equal(wrong, 0);
}

static void test_shapes(void **state) {
    (void)state;
    int wrong = 0;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) wrong += check(&shapes[k]);
    assert_int_equal(wrong, 0);
}

/* Creation ops take shape and dtype from a given out. */
static void test_out_gives_shape(void **state) {
    (void)state;
    dl_tensor t = {0}, *out = &t;
    const int64_t shape[] = {2, 3};
    const dl_attr attr[] = {{.kind = DL_ATTR_NONE}, {.kind = DL_ATTR_INT, .v.i = 7}};
    int32_t values[6];
    assert_int_equal(dl_tensor_new(&t, DL_I32, 2, shape, dl_default_device()), DL_OK);
    assert_int_equal(dl_call(dl_op_find("full"), NULL, 0, &out, 1, attr, 2), DL_OK);
    assert_int_equal(dl_tensor_read(&t, values, sizeof values), DL_OK);
    for (int k = 0; k < 6; k++) assert_int_equal(values[k], 7);
    dl_tensor_clear(&t);
}

/* A view of a view starts where that one starts; as_strided's offset counts from its first element. */
static void test_offsets_add_up(void **state) {
    (void)state;
    ops_call first;
    ops_make(&first, "slice", "4,5", "0 1 3", 1);
    assert_int_equal(ops_run(&first), DL_OK);
    dl_tensor t = {0}, *out = &t;
    const dl_tensor *in[] = {&first.results[0]};
    const dl_attr index[] = {{.kind = DL_ATTR_INT, .v.i = 1}, {.kind = DL_ATTR_INT, .v.i = 2}};
    assert_int_equal(dl_call(dl_op_find("select"), in, 1, &out, 1, index, 2), DL_OK);
    assert_int_equal(t.byte_offset, 7 * sizeof(double));
    dl_tensor_clear(&t);
    const int64_t two = 2, one = 1;
    const dl_attr back[] = {{.kind = DL_ATTR_INTS, .n = 1, .v.iv = &two},
                            {.kind = DL_ATTR_INTS, .n = 1, .v.iv = &one},
                            {.kind = DL_ATTR_INT, .v.i = -5}};
    assert_int_equal(dl_call(dl_op_find("as_strided"), in, 1, &out, 1, back, 3), DL_OK);
    assert_int_equal(t.byte_offset, 0);
    dl_tensor_clear(&t);
    ops_free(&first);
}

static int start(void **state) {
    (void)state;
    return dl_init();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_out_gives_shape),
        cmocka_unit_test(test_offsets_add_up),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
