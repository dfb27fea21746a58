// Matrix products on one thread, by oneDNN where it is the faster. The only file that knows its 2.x and 3.x
// interfaces apart.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/matmul/gemm.hpp"

#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

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
    return h * 16 + (g.transpose_a ? 1 : 0) + (g.transpose_b ? 2 : 0) + (g.accumulate ? 4 : 0) +
           (g.bias ? 8 : 0);
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

Product make_product(const Gemm& g, const dnnl::engine& engine) {
  using Dims = dnnl::memory::dims;
  auto matrix = [](int64_t rows, int64_t cols, int64_t ld, bool transposed, DType type) {
    return dnnl::memory::desc({rows, cols}, data_type(type), transposed ? Dims{1, ld} : Dims{ld, 1});
  };
  const auto a = matrix(g.m, g.k, g.lda, g.transpose_a, g.a);
  const auto b = matrix(g.k, g.n, g.ldb, g.transpose_b, g.b);
  const auto c = matrix(g.m, g.n, g.ldc, false, g.c);
  const auto bias = g.bias ? dnnl::memory::desc({1, g.n}, dnnl::memory::data_type::f32, Dims{g.n, 1})
                           : dnnl::memory::desc();
  dnnl::post_ops after;
  if (g.accumulate) after.append_sum(1.f);
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(after);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc description(engine, a, b, bias, c, attributes);
#else
  const dnnl::matmul::primitive_desc description(
      g.bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c), attributes, engine);
#endif
  Product product{dnnl::matmul(description),
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
  thread_local Library library;
  auto found = library.products.find(g);
  if (found == library.products.end())
    found = library.products.emplace(g, make_product(g, library.engine)).first;
  Product& product = found->second;
  product.a.set_data_handle(const_cast<void*>(operands.a));
  product.b.set_data_handle(const_cast<void*>(operands.b));
  product.c.set_data_handle(operands.c);
  if (g.bias) product.bias.set_data_handle(const_cast<float*>(operands.bias));
  product.primitive.execute(library.stream, product.arguments);
  library.stream.wait();
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
  static const bool native = library_has(dnnl::cpu_isa::avx512_core_bf16);
  return native;
}

// Without AVX-512 the library is as fast as panel_product at its best shapes, and at others half as fast.
static bool best_by_library(const Gemm& g) {
  static const bool wide = library_has(dnnl::cpu_isa::avx512_core);
  const bool f32 = g.a == DType::f32 && g.b == DType::f32 && g.c == DType::f32;
  return (f32 && wide) || (g.a == DType::bf16 && g.b == DType::bf16 && bf16_units());
}

void gemm(const Gemm& g, const GemmOperands& operands) {
  if (g.activation != Activation::none) throw error("gemm: on the CPU a product has no activation");
  if (g.m <= few_rows) return few_rows_product(g, operands);
  if (best_by_library(g)) return multiply(g, operands);
  panel_product(g, operands);
}

}  // namespace tessera
