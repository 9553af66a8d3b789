/* One MoE layer for C: a fixed configuration, sizes first, then memory of the caller's. No call allocates, throws or starts a thread. */
#ifndef MOE_SHIM_H
#define MOE_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Mixtral's rules, small. moe_shim.cpp says them to moesaic; another model is another copy of the two files. */
enum { MOE_HIDDEN = 64, MOE_INTER = 32, MOE_EXPERTS = 8, MOE_TOP_K = 2 };

/* Weights as a checkpoint stores them: fp32, row-major, without gaps. */
struct moe_weights {
  float const* router; /* [experts, hidden] */
  float const* gate;   /* [experts][inter, hidden] */
  float const* up;     /* [experts][inter, hidden] */
  float const* down;   /* [experts][hidden, inter] */
};

/* The engine's threads: call item(work, i) once for each i in [0, n), on any thread, and return when all calls have. */
struct moe_threads {
  void (*parallel_for)(void* pool, int64_t n, void (*item)(void const* work, int64_t i), void const* work);
  void* pool;
};

/* A prepared layer. It lies in the caller's memory, and nothing has to be done before that is freed. */
struct moe_layer;

/* How much memory a layer, and a call with so many tokens, need. Both start at a multiple of 64 bytes. */
size_t moe_layer_bytes(void);
size_t moe_workspace_bytes(int64_t tokens);

/* NULL: all is well. Otherwise one line that names the wrong argument; it is the calling thread's until its next call.
   `threads` may be NULL: the calling thread does all. */
char const* moe_make(struct moe_weights const* weights, void* memory, size_t bytes, struct moe_threads const* threads,
                     struct moe_layer const** layer);

/* y = layer(x); x, y [tokens, hidden] fp32, 16-byte aligned; y may be x. */
char const* moe_forward(struct moe_layer const* layer, float const* x, float* y, int64_t tokens, void* workspace, size_t bytes,
                        struct moe_threads const* threads);

#ifdef __cplusplus
}
#endif
#endif
