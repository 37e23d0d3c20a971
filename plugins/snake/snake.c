/* snake.c - a whole op from one expression: the activation of Ziyin, Hartwig, Ueda: Neural Networks Fail to Learn Periodic
 * Functions and How to Fix It (NeurIPS 2020). It adds to x a wave of period pi/alpha, so a network of it can go on with a
 * rhythm beyond its data, where ReLU goes on straight.
 *
 * Gradients of any order, kernels on every backend, and a place in fused chains are derived from the expression. */
#include <dlrun/plugin.h>

DL_PLUGIN_IDENTITY("snake", "1.0", 0);

dl_status dl_plugin_init(const dl_host *host) {
    static const dl_op_def snake = {
        .size = sizeof snake,
        .sig = "snake::snake(Tensor x, float alpha=1) -> Tensor",
        .doc = "x + sin(alpha*x)^2 / alpha, element by element; floating dtypes, integers give float32 (Ziyin et al. 2020).",
        .expr = "x + square(sin(alpha*x)) / alpha",
        .rule = "float",
    };
    return host->add_op(&snake);
}
