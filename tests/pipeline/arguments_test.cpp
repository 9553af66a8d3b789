// Every argument of every stage, wrong once: the status names it and its value, and nothing has been written.
#include <gtest/gtest.h>

#include <cstdint>
#include <moesaic/moesaic.hpp>
#include <new>
#include <string>
#include <vector>

namespace {

using namespace moesaic;

constexpr std::int64_t T = 5;
using layer_type = layer<models::tiny_a>;
constexpr moe_config c = layer_type::config;
constexpr reference::on ctx;

template <class V>
class array {
 public:
  explicit array(std::int64_t n, V value = V{}) : n_(static_cast<std::size_t>(n)), data_(new (std::align_val_t{64}) V[n_]) {
    for (std::size_t i = 0; i < n_; ++i) data_[i] = value;
  }
  ~array() { ::operator delete[](data_, std::align_val_t{64}); }
  array(array const&) = delete;
  array& operator=(array const&) = delete;
  V* data() const { return data_; }
  bool all(V value) const {
    for (std::size_t i = 0; i < n_; ++i)
      if (data_[i] != value) return false;
    return true;
  }

 private:
  std::size_t n_;
  V* data_;
};

std::string text(status const& s) { return describe(s).c_str(); }

/// Right arguments for everything; a test changes one.
struct arguments : testing::Test {
  array<float> x_data{T * c.hidden + 64, 0.5F}, y_data{T * c.hidden + 64, -7.0F}, logits_data{T * c.experts, 0.25F}, bias{c.experts};
  array<std::int32_t> ids{T * c.top_k, 3}, offsets{c.experts + 1, 0}, row_to_slot{T * c.top_k, 0}, slot_to_row{T * c.top_k, 0};
  array<float> chosen{T * c.top_k, 1.0F};
  array<float> partial_data{T * c.top_k * c.hidden, 1.0F};
  array<std::uint8_t> codes{c.experts * c.inter * c.hidden, std::uint8_t{0x38}};
  array<float> scales{c.experts * 2, 1.0F};
  array<bf16> router_data{c.experts * c.hidden, bf16{0x3c00}};
  array<char> memory_data{1 << 20};

  matrix_view<float> x{x_data.data(), T, c.hidden}, y{y_data.data(), T, c.hidden}, logits{logits_data.data(), T, c.experts};
  matrix_view<float> partials{partial_data.data(), T* c.top_k, c.hidden};
  topk_choice choice{ids.data(), chosen.data(), T, c.top_k};
  dispatch_map map{offsets.data(), row_to_slot.data(), slot_to_row.data(), T, c.top_k, c.experts};
  memory workspace{memory_data.data(), 1 << 20};
  layer_weights<layer_type> weights;
  prepared_weights<reference::on, layer_type> prepared;

  arguments() {
    weights.router = {1, c.experts, c.hidden, {router_data.data()}, {}};
    weights.bias = bias.data();
    weights.gate = weights.up = {c.experts, c.inter, c.hidden, {codes.data(), c.inter * c.hidden}, {scales.data(), 2}};
    weights.down = {c.experts, c.hidden, c.inter, {codes.data(), c.inter * c.hidden}, {scales.data(), 2}};
    weights.shared_gate = weights.shared_up = {1, c.shared_inter, c.hidden, {codes.data()}, {scales.data()}};
    weights.shared_down = {1, c.hidden, c.shared_inter, {codes.data()}, {scales.data()}};
  }

  std::string prepare_text() { return text(prepare<layer_type>(ctx, weights, workspace, prepared)); }
  void prepare_well() {
    array<char>& home = prepared_home;
    ASSERT_EQ(text(prepare<layer_type>(ctx, weights, {home.data(), 1 << 16}, prepared)), "ok");
  }
  array<char> prepared_home{1 << 16};

  std::string forward_text(forward_extras<float> const& extras = {}) {
    std::string const s = text(forward<layer_type>(ctx, x, prepared, y, workspace, extras));
    EXPECT_TRUE(s == "ok" || y_data.all(-7.0F)) << "written to in spite of: " << s;
    return s;
  }
};

TEST_F(arguments, of_forward) {
  prepare_well();
  EXPECT_EQ(forward_text(), "ok");
  EXPECT_FALSE(y_data.all(-7.0F));
  for (std::int64_t i = 0; i < T * c.hidden; ++i) y_data.data()[i] = -7.0F;

  auto const good_x = x, good_y = y;
  x.cols = 255;
  EXPECT_EQ(forward_text(), "x.cols is 255, expected 256");
  x = good_x;
  x.data = nullptr;
  EXPECT_EQ(forward_text(), "x.data is null");
  x = good_x;
  x.data += 1;
  EXPECT_EQ(forward_text(), "x.data is 4 bytes past a multiple of 16");
  x = good_x;
  x.stride = 255;
  EXPECT_EQ(forward_text(), "x.stride is 255, expected 256");
  x.stride = 257;
  EXPECT_EQ(forward_text(), "x.stride is 4 bytes past a multiple of 16");
  x = good_x;
  x.rows = -1;
  EXPECT_EQ(forward_text(), "x.rows is -1, expected 0 to 536870911");
  x.rows = 536870912;
  EXPECT_EQ(forward_text(), "x.rows is 536870912, expected 0 to 536870911");
  x = good_x;
  y.rows = 4;
  EXPECT_EQ(forward_text(), "y.rows is 4, expected 5");
  y = good_y;
  y.data = nullptr;
  EXPECT_EQ(forward_text(), "y.data is null");
  y = good_y;
  y.data += 2;
  EXPECT_EQ(forward_text(), "y.data is 8 bytes past a multiple of 16");
  y = good_y;

  auto const needed = workspace_bytes<layer_type>(ctx, T);
  workspace.bytes = needed - 1;
  EXPECT_EQ(forward_text(), "workspace holds " + std::to_string(needed - 1) + " bytes, needed are " + std::to_string(needed));
  workspace = {memory_data.data() + 8, needed};
  EXPECT_EQ(forward_text(), "workspace.data is 8 bytes past a multiple of 64");
  workspace = {nullptr, needed};
  EXPECT_EQ(forward_text(), "workspace.data is null");
  workspace = {memory_data.data(), needed};

  auto const good = prepared;
  prepared = {};
  EXPECT_EQ(forward_text(), "weights.router.experts is 0, expected 1");
  prepared = good;
  prepared.bias = nullptr;
  EXPECT_EQ(forward_text(), "weights.bias is null");
  prepared = good;
  prepared.up.n = 64;
  EXPECT_EQ(forward_text(), "weights.up.n is 64, expected 128");
  prepared = good;
  prepared.shared_down = {};
  EXPECT_EQ(forward_text(), "weights.shared_down.experts is 0, expected 1");
  prepared = good;

  topk_choice other = choice;
  other.tokens = 6;
  EXPECT_EQ(forward_text({.choice = other}), "extras.choice.tokens is 6, expected 5");
  other = choice;
  other.top_k = 3;
  EXPECT_EQ(forward_text({.choice = other}), "extras.choice.top_k is 3, expected 4");
  other = choice;
  other.weights = nullptr;
  EXPECT_EQ(forward_text({.choice = other}), "extras.choice.weights is null");
  EXPECT_EQ(forward_text({.choice = {nullptr, chosen.data(), T, c.top_k}, .given = moesaic::given_choice::ids_and_weights}),
            "extras.choice.ids is null");
  EXPECT_EQ(forward_text({.residual = {x.data, T, 128, 128}}), "extras.residual.cols is 128, expected 256");
  EXPECT_EQ(forward_text(), "ok");
}

TEST_F(arguments, of_forward_without_tokens_need_not_be_there) {
  prepare_well();
  EXPECT_EQ(
      text(forward<layer_type>(ctx, matrix_view<float>(nullptr, 0, c.hidden), prepared, matrix_view<float>(nullptr, 0, c.hidden), {})),
      "ok");
}

TEST_F(arguments, of_prepare) {
  EXPECT_EQ(prepare_text(), "ok");
  auto const good = weights;
  auto wrong = [&](auto const& change) {
    weights = good;
    change(weights);
    return prepare_text();
  };
  EXPECT_EQ(wrong([](auto& w) { w.router.n = 17; }), "weights.router.n is 17, expected 16");
  EXPECT_EQ(wrong([](auto& w) { w.router.codes = {}; }), "weights.router.codes is null");
  EXPECT_EQ(
      wrong([](auto& w) { w.router.codes.base = reinterpret_cast<bf16 const*>(reinterpret_cast<char const*>(w.router.codes.base) + 1); }),
      "weights.router.codes is 1 bytes past a multiple of 2");
  EXPECT_EQ(wrong([](auto& w) { w.bias = nullptr; }), "weights.bias is null");
  EXPECT_EQ(wrong([](auto& w) { w.gate.experts = 15; }), "weights.gate.experts is 15, expected 16");
  EXPECT_EQ(wrong([](auto& w) { w.up.k = 128; }), "weights.up.k is 128, expected 256");
  EXPECT_EQ(wrong([](auto& w) { w.down.scales = {}; }), "weights.down.scales is null");
  EXPECT_EQ(wrong([](auto& w) { w.shared_gate.n = 64; }), "weights.shared_gate.n is 64, expected 128");
  EXPECT_EQ(wrong([](auto& w) { w.shared_up.codes = {}; }), "weights.shared_up.codes is null");
  EXPECT_EQ(wrong([](auto& w) { w.shared_down = {}; }), "weights.shared_down.experts is 0, expected 1");
  std::vector<std::uint8_t const*> table(c.experts, codes.data());
  table[7] = nullptr;
  EXPECT_EQ(wrong([&](auto& w) { w.gate.codes.table = table.data(); }), "weights.gate.codes is null");
  weights = good;
  auto const needed = prepared_bytes<layer_type>(ctx);
  workspace.bytes = needed - 1;
  EXPECT_EQ(prepare_text(), "to holds " + std::to_string(needed - 1) + " bytes, needed are " + std::to_string(needed));
}

TEST_F(arguments, of_route) {
  EXPECT_EQ(text(route_from_logits<layer_type>(ctx, logits, bias.data(), choice)), "ok");
  EXPECT_EQ(text(route_from_logits<layer_type>(ctx, logits, nullptr, choice)), "biases.bias is null");
  logits.cols = 17;
  EXPECT_EQ(text(route_from_logits<layer_type>(ctx, logits, bias.data(), choice)), "logits.cols is 17, expected 16");
  logits.cols = 16;
  choice.ids = nullptr;
  EXPECT_EQ(text(route_from_logits<layer_type>(ctx, logits, bias.data(), choice)), "out.ids is null");

  prepare_well();
  choice.ids = ids.data();
  auto const needed = route_bytes<layer_type>(T);
  EXPECT_EQ(text(route<layer_type>(ctx, x, prepared, {workspace.data, needed}, choice)), "ok");
  EXPECT_EQ(text(route<layer_type>(ctx, x, prepared, {workspace.data, needed - 1}, choice)),
            "scratch holds " + std::to_string(needed - 1) + " bytes, needed are " + std::to_string(needed));
  EXPECT_EQ(text(route<layer_type>(ctx, x, prepared_weights<reference::on, layer_type>{}, {workspace.data, needed}, choice)),
            "weights.router.experts is 0, expected 1");
  x.cols = 8;
  EXPECT_EQ(text(route<layer_type>(ctx, x, prepared, {workspace.data, needed}, choice)), "x.cols is 8, expected 256");
}

TEST_F(arguments, of_make_dispatch_map) {
  EXPECT_EQ(text(make_dispatch_map(ctx, choice, map)), "ok");
  auto const good = map;
  map.tokens = 4;
  EXPECT_EQ(text(make_dispatch_map(ctx, choice, map)), "map.tokens is 4, expected 5");
  map = good;
  map.top_k = 5;
  EXPECT_EQ(text(make_dispatch_map(ctx, choice, map)), "map.top_k is 5, expected 4");
  map = good;
  map.experts = -1;
  EXPECT_EQ(text(make_dispatch_map(ctx, choice, map)), "map.experts is -1, expected 0 to 2147483647");
  map = good;
  map.expert_offsets = nullptr;
  EXPECT_EQ(text(make_dispatch_map(ctx, choice, map)), "map.expert_offsets is null");
  map = good;
  map.row_to_slot = nullptr;
  EXPECT_EQ(text(make_dispatch_map(ctx, choice, map)), "map.row_to_slot is null");
  map = good;
  map.slot_to_row = nullptr;
  EXPECT_EQ(text(make_dispatch_map(ctx, choice, map)), "map.slot_to_row is null");
  map = good;
  choice.tokens = 600'000'000;  // times 4 is beyond what an i32 slot can say
  EXPECT_EQ(text(make_dispatch_map(ctx, choice, map)), "choice.tokens is 600000000, expected 0 to 536870911");
  choice.tokens = T;
  choice.ids = nullptr;
  EXPECT_EQ(text(make_dispatch_map(ctx, choice, map)), "choice.ids is null");
}

TEST_F(arguments, of_permute_and_quantize) {
  ASSERT_EQ(text(make_dispatch_map(ctx, choice, map)), "ok");
  EXPECT_EQ(text(permute(ctx, x, map, partials)), "ok");
  partials.rows = 19;
  EXPECT_EQ(text(permute(ctx, x, map, partials)), "out.rows is 19, expected 20");
  partials.rows = 20;
  map.tokens = 4;
  EXPECT_EQ(text(permute(ctx, x, map, partials)), "map.tokens is 4, expected 5");

  array<std::uint8_t> q(T * c.hidden);
  array<float> s(2 * 8);
  quantized_rows<float> out(q.data(), s.data(), T, c.hidden);
  EXPECT_EQ(text(quantize(ctx, x, out)), "ok");
  out.codes = nullptr;
  EXPECT_EQ(text(quantize(ctx, x, out)), "out.codes is null");
  out.codes = q.data();
  out.scales = nullptr;
  EXPECT_EQ(text(quantize(ctx, x, out)), "out.scales is null");
  out.scales = s.data();
  out.scale_stride = 4;
  EXPECT_EQ(text(quantize(ctx, x, out)), "out.rows is 5, expected 0 to 4");
  out = {q.data(), s.data(), T, 128};
  EXPECT_EQ(text(quantize(ctx, x, out)), "out.cols is 128, expected 256");
}

TEST_F(arguments, of_grouped_gemm) {
  array<float> out_data(T * c.inter);
  matrix_view<float> out(out_data.data(), T, c.inter);
  gemm_input<f32_rows> a{x};
  EXPECT_EQ(text(grouped_gemm(ctx, a, weights.shared_gate, nullptr, out)), "ok");
  EXPECT_EQ(text(grouped_gemm(ctx, a, weights.gate, nullptr, out)), "expert_offsets is null");
  EXPECT_EQ(text(grouped_gemm(ctx, a, weights.down, offsets.data(), out)), "a.rows.cols is 256, expected 128");
  out.cols = 64;
  EXPECT_EQ(text(grouped_gemm(ctx, a, weights.gate, offsets.data(), out)), "out.cols is 64, expected 128");
  out.cols = 128;
  out.rows = 4;
  EXPECT_EQ(text(grouped_gemm(ctx, a, weights.gate, offsets.data(), out)), "a.rows is 5, expected 4");
}

TEST_F(arguments, of_activation_and_unpermute) {
  matrix_view<float> half(x.data, T, 128, c.hidden);
  EXPECT_EQ(text(activation(ctx, x, x, y)), "ok");
  EXPECT_EQ(text(activation(ctx, x, half, y)), "up.cols is 128, expected 256");
  EXPECT_EQ(text(activation(ctx, x, x, half)), "out.cols is 128, expected 256");

  activation_rule<activation_fn::relu2, no_terms> const ungated;
  EXPECT_EQ(text(activation(ctx, {}, x, y, nullptr, ungated)), "ok");
  EXPECT_EQ(text(activation(ctx, {}, half, y, nullptr, ungated)), "out.cols is 256, expected 128");
  activation_rule<activation_fn::swiglu, expert_terms> rule;
  EXPECT_EQ(text(activation(ctx, x, x, y, nullptr, rule)), "rule.terms.row_to_slot is null");
  rule.terms.row_to_slot = map.row_to_slot;
  EXPECT_EQ(text(activation(ctx, x, x, y, nullptr, rule)), "rule.terms.ids is null");
  rule.terms.ids = choice.ids;
  rule.limit = -7.5F;
  EXPECT_EQ(text(activation(ctx, x, x, y, nullptr, rule)), "rule.limit is -7, expected at least 0");

  ASSERT_EQ(text(make_dispatch_map(ctx, choice, map)), "ok");
  EXPECT_EQ(text(unpermute(ctx, partials, map, choice, y)), "ok");
  EXPECT_EQ(text(unpermute(ctx, partials, map, choice, y, {.shared = x, .residual = x})), "ok");
  EXPECT_EQ(text(unpermute(ctx, partials, map, choice, y, {.shared = half})), "extras.shared.cols is 128, expected 256");
  EXPECT_EQ(text(unpermute(ctx, partials, map, choice, y, {.residual = half})), "extras.residual.cols is 128, expected 256");
  choice.weights = nullptr;
  EXPECT_EQ(text(unpermute(ctx, partials, map, choice, y)), "choice.weights is null");
  choice.weights = chosen.data();
  partials.rows = 5;
  EXPECT_EQ(text(unpermute(ctx, partials, map, choice, y)), "partials.rows is 5, expected 20");
}

}  // namespace
