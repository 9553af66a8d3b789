/* A C engine: it owns the memory and the threads, and calls one MoE layer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#include "moe_shim.h"

enum { H = MOE_HIDDEN, I = MOE_INTER, E = MOE_EXPERTS, T = 3 };

static float router[E][H], gate[E][I][H], up[E][I][H], down[E][H][I];
static _Alignas(16) float x[T][H], y[T][H], once_more[T][H];

/* Two threads for each call: a real engine has a pool. */
struct share {
  void (*item)(void const* work, int64_t i);
  void const* work;
  int64_t first, n;
};
static int every_second(void* p) {
  struct share const* const s = p;
  for (int64_t i = s->first; i < s->n; i += 2) s->item(s->work, i);
  return 0;
}
static void two_threads(void* pool, int64_t n, void (*item)(void const*, int64_t), void const* work) {
  struct share odd = {item, work, 1, n}, even = {item, work, 0, n};
  int* const calls = pool;
  ++*calls;
  thrd_t other;
  int const started = thrd_create(&other, every_second, &odd);
  every_second(&even);
  if (started == thrd_success)
    thrd_join(other, NULL);
  else
    every_second(&odd);
}

static void fill(float* p, int n) {
  static uint32_t state = 1;
  for (int i = 0; i < n; ++i) {
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    p[i] = (float)(state >> 8) * 0x1p-24F - 0.5F;
  }
}

/* One element of one token, in double. */
static double by_hand(int t, int r) {
  double z[E] = {0};
  int best = 0, second = -1;
  for (int e = 0; e < E; ++e)
    for (int c = 0; c < H; ++c) z[e] += (double)router[e][c] * (double)x[t][c];
  for (int e = 0; e < E; ++e) best = z[e] > z[best] ? e : best;
  for (int e = 0; e < E; ++e) second = e != best && (second < 0 || z[e] > z[second]) ? e : second;
  double const w = 1 / (1 + exp(z[second] - z[best]));
  double sum = 0;
  for (int k = 0; k < 2; ++k) {
    int const e = k == 0 ? best : second;
    for (int i = 0; i < I; ++i) {
      double g = 0, u = 0;
      for (int c = 0; c < H; ++c) g += (double)gate[e][i][c] * (double)x[t][c], u += (double)up[e][i][c] * (double)x[t][c];
      sum += (k == 0 ? w : 1 - w) * (double)down[e][r][i] * (g / (1 + exp(-g)) * u);
    }
  }
  return sum;
}

static void stop_if(char const* wrong) {
  if (wrong == NULL) return;
  puts(wrong);
  exit(1);
}

int main(void) {
  fill(router[0], E * H), fill(gate[0][0], E * I * H), fill(up[0][0], E * I * H), fill(down[0][0], E * H * I), fill(x[0], T * H);

  void* const memory = aligned_alloc(64, moe_layer_bytes());
  void* const workspace = aligned_alloc(64, moe_workspace_bytes(T));
  int calls = 0;
  struct moe_threads const threads = {two_threads, &calls};
  struct moe_weights const weights = {router[0], gate[0][0], up[0][0], down[0][0]};
  struct moe_layer const* layer;
  stop_if(moe_make(&weights, memory, moe_layer_bytes(), &threads, &layer));
  stop_if(moe_forward(layer, x[0], y[0], T, workspace, moe_workspace_bytes(T), &threads));
  stop_if(moe_forward(layer, x[0], once_more[0], T, workspace, moe_workspace_bytes(T), NULL));

  double worst = 0;
  for (int t = 0; t < T; ++t) {
    for (int r = 0; r < H; ++r) worst = fmax(worst, fabs((double)y[t][r] - by_hand(t, r)));
    printf("token %d: y = %.4f %.4f ..., by hand %.4f %.4f ...\n", t, (double)y[t][0], (double)y[t][1], by_hand(t, 0), by_hand(t, 1));
  }
  int const right = worst<1e-5, same = calls> 0 && memcmp(y, once_more, sizeof y) == 0;
  puts(right ? "the same to within 1e-5" : "NOT the same");
  puts(same ? "two threads and one: the same bits" : "two threads and one: OTHER bits");
  printf("an x that is not aligned: %s\n", moe_forward(layer, x[0] + 1, y[0], 1, workspace, moe_workspace_bytes(T), NULL));
  struct moe_weights const no_gate = {router[0], NULL, up[0][0], down[0][0]};
  printf("no gate: %s\n", moe_make(&no_gate, memory, moe_layer_bytes(), NULL, &layer));
  free(workspace);
  free(memory);
  return right && same ? 0 : 1;
}
