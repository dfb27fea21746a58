// Matrix products on one thread, by oneDNN where it is the faster. The only file that knows its 2.x and 3.x
// interfaces apart.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/matmul/gemm.hpp"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "codelets/matmul/few_rows_bf16.hpp"
#include "codelets/matmul/few_rows_packed.hpp"
#include "runtime/core/error.hpp"

namespace tessera {
namespace {

dnnl::memory::data_type data_type(DType type) {
  switch (type) {
    case DType::f32:
      return dnnl::memory::data_type::f32;
    case DType::bf16:
      return dnnl::memory::data_type::bf16;
    default:
      throw error("gemm: oneDNN multiplies f32 and bf16 here, not {}", name_of(type));
  }
}

struct Hash {
  size_t operator()(const Gemm& g) const {
    size_t h = 0;
    for (int64_t x : {g.m, g.n, g.k, g.lda, g.ldb, g.ldc}) h = h * 1000003 + static_cast<size_t>(x);
    return h * 32 + (g.transpose_a ? 1 : 0) + (g.transpose_b ? 2 : 0) + (g.accumulate ? 4 : 0) +
           (g.bias ? 8 : 0) + (g.packed_b ? 16 : 0);
  }
};

// A primitive with the memory objects it is called on; only the pointers change from call to call.
struct Product {
  dnnl::matmul primitive;
  dnnl::memory a, b, c, bias;
  std::unordered_map<int, dnnl::memory> arguments;
};

struct Library {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::unordered_map<Gemm, Product, Hash> products;

  Library() { omp_set_num_threads(1); }  // of this thread: tasks are the parallelism
};

Library& library() {
  thread_local Library instance;
  return instance;
}

using Desc = dnnl::memory::desc;

Desc matrix(int64_t rows, int64_t cols, int64_t ld, bool transposed, DType type) {
  using Dims = dnnl::memory::dims;
  return {{rows, cols}, data_type(type), transposed ? Dims{1, ld} : Dims{ld, 1}};
}

dnnl::matmul::primitive_desc describe(const Desc& a, const Desc& b, const Desc* bias, const Desc& c,
                                      const dnnl::primitive_attr& attributes = {}) {
#if DNNL_VERSION_MAJOR >= 3
  return {library().engine, a, b, bias ? *bias : Desc(), c, attributes};
#else
  return {bias ? dnnl::matmul::desc(a, b, *bias, c) : dnnl::matmul::desc(a, b, c), attributes,
          library().engine};
#endif
}

// As pack_right lays it out.
Desc packed_right(const Gemm& g) {
  using Tag = dnnl::memory::format_tag;
  return {{g.k, g.n}, data_type(g.b), g.b == DType::f32 ? Tag::BA16a64b : Tag::BA16a64b2a};
}

// Whether that is what the library would choose itself, which does not depend on sizes.
bool likes_packed(DType type) {
  constexpr int64_t size = 256;
  const Gemm g{.m = size, .n = size, .k = size, .a = type, .b = type, .c = type};
  const Desc rows = matrix(size, size, size, false, type);
  const Desc any({size, size}, data_type(type), dnnl::memory::format_tag::any);
  return describe(rows, any, nullptr, rows).weights_desc() == packed_right(g);
}

Product make_product(const Gemm& g) {
  const dnnl::engine& engine = library().engine;
  const Desc a = matrix(g.m, g.k, g.lda, g.transpose_a, g.a);
  const Desc b = g.packed_b ? packed_right(g) : matrix(g.k, g.n, g.ldb, g.transpose_b, g.b);
  const Desc c = matrix(g.m, g.n, g.ldc, false, g.c);
  const Desc bias = matrix(1, g.n, g.n, false, DType::f32);
  dnnl::post_ops after;
  if (g.accumulate) after.append_sum(1.f);
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(after);
  Product product{dnnl::matmul(describe(a, b, g.bias ? &bias : nullptr, c, attributes)),
                  dnnl::memory(a, engine, nullptr),
                  dnnl::memory(b, engine, nullptr),
                  dnnl::memory(c, engine, nullptr),
                  {},
                  {}};
  product.arguments = {{DNNL_ARG_SRC, product.a}, {DNNL_ARG_WEIGHTS, product.b}, {DNNL_ARG_DST, product.c}};
  if (g.bias) {
    product.bias = dnnl::memory(bias, engine, nullptr);
    product.arguments.emplace(DNNL_ARG_BIAS, product.bias);
  }
  return product;
}

void multiply(const Gemm& g, const GemmOperands& operands) {
  auto& products = library().products;
  auto found = products.find(g);
  if (found == products.end()) found = products.emplace(g, make_product(g)).first;
  Product& product = found->second;
  product.a.set_data_handle(const_cast<void*>(operands.a));
  product.b.set_data_handle(const_cast<void*>(operands.b));
  product.c.set_data_handle(operands.c);
  if (g.bias) product.bias.set_data_handle(const_cast<float*>(operands.bias));
  product.primitive.execute(library().stream, product.arguments);
  library().stream.wait();
}

}  // namespace

std::string gemm_library() {
  const dnnl::version_t* version = dnnl::version();
  return fmt::format("oneDNN {}.{}.{} (instructions {:x})", version->major, version->minor, version->patch,
                     static_cast<unsigned>(dnnl::get_effective_cpu_isa()));
}

// Later instruction sets have the bits of those that they include.
static bool library_has(dnnl::cpu_isa wanted) {
  const auto bits = static_cast<unsigned>(wanted);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bits) == bits;
}

bool bf16_units() {
  static const bool native = library_has(dnnl::cpu_isa::avx512_core_bf16) && has_bf16_dots();
  return native;
}

bool packs_for_library(DType type) {
  return type == DType::bf16 ? bf16_units() : library_has(dnnl::cpu_isa::avx512_core);
}

// Without AVX-512 the library is as fast as panel_product at its best shapes, and at others half as fast. On
// Intel's CPUs with it, memory is slow beside arithmetic: panel_product, which fetches ahead, is faster with
// a packed right factor and for gradients of weights, whose left factor the library transposes in every
// product; where what is fetched fills the second cache.
static bool best_by_library(const Gemm& g) {
  static const bool wide = library_has(dnnl::cpu_isa::avx512_core), intel = __builtin_cpu_is("intel");
  if (g.a == DType::bf16 && g.b == DType::bf16) return bf16_units();
  const bool f32 = g.a == DType::f32 && g.b == DType::f32 && g.c == DType::f32;
  constexpr int64_t large = 512 * 512;
  return f32 && wide &&
         !(intel && ((g.packed_b && g.n * g.k >= large) || (g.transpose_a && g.m * g.n >= large)));
}

int64_t packed_size(const Gemm& g) {
  if (g.a != g.b) return 0;
  const auto in_word = static_cast<int64_t>(sizeof(float) / size_of(g.b));
  if (!packs_for_library(g.b)) return packed_panels_size(g.k, g.n) * in_word;
  static const bool f32 = likes_packed(DType::f32), bf16 = bf16_units() && likes_packed(DType::bf16);
  if (!(g.b == DType::f32 ? f32 : bf16)) return 0;
  const int64_t rows = packed_rows * in_word;
  return (g.k + rows - 1) / rows * rows * ((g.n + packed_columns - 1) / packed_columns * packed_columns);
}

void gemm(const Gemm& g, const GemmOperands& operands) {
  if (g.activation != Activation::none) throw error("gemm: on the CPU a product has no activation");
  if (g.m <= few_rows && (!g.packed_b || has_packed_rows(g.b))) return few_rows_product(g, operands);
  if (best_by_library(g)) return multiply(g, operands);
  panel_product(g, operands);
}

}  // namespace tessera
