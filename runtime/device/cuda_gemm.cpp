// cuBLASLt thinks in columns: a row-major C = A · B is its C' = B' · A' on the same memory.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/cuda_gemm.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

namespace tessera {
namespace {

// What Hopper's kernels like to have; smaller GPUs take less.
constexpr size_t most_workspace = size_t{32} << 20;

cudaDataType_t type_of(DType dtype) {
  return dtype == DType::f32 ? CUDA_R_32F : dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_16F;
}

uint32_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p);
  return address == 0 ? 256 : static_cast<uint32_t>(std::min<uintptr_t>(256, address & (~address + 1)));
}

uint32_t epilogue_of(const Gemm& shape) {
  uint32_t epilogue = 0;
  if (shape.bias) epilogue |= CUBLASLT_EPILOGUE_BIAS;
  if (shape.activation == Activation::gelu_tanh) epilogue |= CUBLASLT_EPILOGUE_GELU;
  if (shape.activation == Activation::relu) epilogue |= CUBLASLT_EPILOGUE_RELU;
  return epilogue != 0 ? epilogue : uint32_t{CUBLASLT_EPILOGUE_DEFAULT};
}

const void* addend_of(const GemmOperands& operands) { return operands.addend ? operands.addend : operands.c; }

// The library says that an algorithm's words may be kept and used again with the same version of it.
std::string text_of(const cublasLtMatmulAlgo_t& algorithm, size_t workspace_bytes) {
  return fmt::format("{:x} {}", fmt::join(algorithm.data, " "), workspace_bytes);
}

// cuBLASLt adds a bias of the result's type, ours is f32.
const void* bias_as(DType dtype, const float* bias, int64_t n, DeviceQueue& queue) {
  if (dtype == DType::f32) return bias;
  const TileView tiles[] = {
      {.data = const_cast<float*>(bias), .cols = n},
      {.data = queue.scratch_bytes(static_cast<size_t>(n) * size_of(dtype)), .dtype = dtype, .cols = n}};
  kernel_named("cast").gpu({tiles}, queue);
  return tiles[1].data;
}

}  // namespace

struct CudaGemm::Product {
  const CublasLt& lt;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t first = nullptr, second = nullptr, result = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace_bytes = 0;

  explicit Product(const CublasLt& library) : lt(library) {}
  ~Product() {
    if (operation) lt.cublasLtMatmulDescDestroy(operation);
    for (cublasLtMatrixLayout_t layout : {first, second, result})
      if (layout) lt.cublasLtMatrixLayoutDestroy(layout);
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  void check(cublasStatus_t status, std::string_view call) const {
    if (status != CUBLAS_STATUS_SUCCESS)
      throw failure("CUDA: {}: {}", call, lt.cublasLtGetStatusString(status));
  }
  template <class V>
  void set(cublasLtMatmulDescAttributes_t what, const V& value) {
    check(lt.cublasLtMatmulDescSetAttribute(operation, what, static_cast<const void*>(&value), sizeof(V)),
          "cublasLtMatmulDescSetAttribute");
  }
  void layout(cublasLtMatrixLayout_t& made, DType dtype, int64_t rows, int64_t cols, int64_t distance) const {
    check(lt.cublasLtMatrixLayoutCreate(&made, type_of(dtype), static_cast<uint64_t>(rows),
                                        static_cast<uint64_t>(cols), distance),
          "cublasLtMatrixLayoutCreate");
  }
};

CudaGemm::CudaGemm(const CudaApi& api, cudaStream_t stream) : api_(api), stream_(stream) {
  const CublasLt& lt = api.cublas_lt();
  if (const cublasStatus_t status = lt.cublasLtCreate(&handle_); status != CUBLAS_STATUS_SUCCESS)
    throw failure("CUDA: cublasLtCreate: {}", lt.cublasLtGetStatusString(status));
}

CudaGemm::~CudaGemm() {
  products_.clear();
  api_.cublas_lt().cublasLtDestroy(handle_);
}

bool CudaGemm::supports(const Gemm& shape) const {
  if (shape.a != shape.b || !is_float(shape.a)) return false;
  if (shape.c != shape.a && shape.c != DType::f32) return false;
  if (shape.activation == Activation::gelu_erf || shape.activation == Activation::silu) return false;
  if (shape.accumulate && shape.activation != Activation::none) return false;  // it would come after the sum
  return shape.k > 0;
}

std::unique_ptr<CudaGemm::Product> CudaGemm::describe(const Gemm& shape, const GemmOperands& operands) const {
  const CublasLt& lt = api_.cublas_lt();
  auto made = std::make_unique<Product>(lt);
  made->check(lt.cublasLtMatmulDescCreate(&made->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
              "cublasLtMatmulDescCreate");
  const auto turned = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  made->set(CUBLASLT_MATMUL_DESC_TRANSA, turned(shape.transpose_b));
  made->set(CUBLASLT_MATMUL_DESC_TRANSB, turned(shape.transpose_a));
  made->set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(shape));
  if (shape.bias) made->set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(operands.bias));
  const auto [m, n, k] = std::array{shape.m, shape.n, shape.k};
  made->layout(made->first, shape.b, shape.transpose_b ? k : n, shape.transpose_b ? n : k, shape.ldb);
  made->layout(made->second, shape.a, shape.transpose_a ? m : k, shape.transpose_a ? k : m, shape.lda);
  made->layout(made->result, shape.c, n, m, shape.ldc);
  return made;
}

// The algorithm is the library's first choice among those that give the same bits every time: partial sums
// over k, where there are any, are added up in the order of their workspace.
std::string CudaGemm::choose(const Product& product, const GemmOperands& operands) const {
  const CublasLt& lt = api_.cublas_lt();
  cublasLtMatmulPreference_t preference = nullptr;
  product.check(lt.cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, auto value) {
    return lt.cublasLtMatmulPreferenceSetAttribute(preference, what, &value, sizeof value);
  };
  const uint32_t fixed_order = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  cublasStatus_t status = prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, most_workspace);
  for (const auto& [what, value] :
       {std::pair{CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, fixed_order},
        std::pair{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(operands.b)},
        std::pair{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(operands.a)},
        std::pair{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(addend_of(operands))},
        std::pair{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(operands.c)}})
    if (status == CUBLAS_STATUS_SUCCESS) status = prefer(what, value);
  int found = 0;
  cublasLtMatmulHeuristicResult_t chosen{};
  if (status == CUBLAS_STATUS_SUCCESS)
    status =
        lt.cublasLtMatmulAlgoGetHeuristic(handle_, product.operation, product.first, product.second,
                                          product.result, product.result, preference, 1, &chosen, &found);
  lt.cublasLtMatmulPreferenceDestroy(preference);
  const bool none = status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0);
  if (none || chosen.state != CUBLAS_STATUS_SUCCESS) return {};
  product.check(status, "cublasLtMatmulAlgoGetHeuristic");
  return text_of(chosen.algo, chosen.workspaceSize);
}

// A recorded algorithm takes the place of the library's proposal; its version is part of the kind.
std::unique_ptr<CudaGemm::Product> CudaGemm::make(const Key& key, const Gemm& shape,
                                                  const GemmOperands& operands, DeviceQueue& queue) const {
  std::unique_ptr<Product> made = describe(shape, operands);
  const std::string what = fmt::format("cublasLt {}", fmt::join(key, " "));
  const std::string chosen = queue.choices().choose(what, [&] { return choose(*made, operands); });
  if (chosen.empty()) return nullptr;
  std::istringstream words(chosen);
  words >> std::hex;
  for (uint64_t& word : made->algorithm.data) words >> word;
  if (!(words >> std::dec >> made->workspace_bytes) || made->workspace_bytes > most_workspace)
    throw failure("matmul on {}: the recorded algorithm of '{}' is none", queue.device_name(), what);
  return made;
}

bool CudaGemm::run(const Gemm& shape, const GemmOperands& operands, DeviceQueue& queue) {
  if (!supports(shape)) return false;
  if (shape.m == 0 || shape.n == 0) return true;
  GemmOperands narrowed = operands;
  if (shape.bias) narrowed.bias = static_cast<const float*>(bias_as(shape.c, operands.bias, shape.n, queue));
  const Key key{shape.m,
                shape.n,
                shape.k,
                shape.lda,
                shape.ldb,
                shape.ldc,
                shape.transpose_a,
                shape.transpose_b,
                shape.accumulate,
                static_cast<int64_t>(shape.a),
                static_cast<int64_t>(shape.c),
                shape.bias,
                static_cast<int64_t>(shape.activation),
                alignment_of(operands.a),
                alignment_of(operands.b),
                std::min(alignment_of(operands.c), alignment_of(addend_of(operands))),
                alignment_of(narrowed.bias)};
  auto found = products_.find(key);
  if (found == products_.end()) found = products_.emplace(key, make(key, shape, narrowed, queue)).first;
  Product* product = found->second.get();
  if (!product) return false;
  if (shape.bias) product->set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(narrowed.bias));
  const size_t bytes = product->workspace_bytes;
  void* workspace = bytes ? queue.scratch_bytes(bytes) : nullptr;
  const float one = 1, beta = shape.accumulate ? 1 : 0;
  product->check(api_.cublas_lt().cublasLtMatmul(
                     handle_, product->operation, &one, operands.b, product->first, operands.a,
                     product->second, &beta, addend_of(operands), product->result, operands.c,
                     product->result, &product->algorithm, workspace, bytes, stream_),
                 "cublasLtMatmul");
  return true;
}

}  // namespace tessera
