// The fake's cuBLASLt: what the documentation of cublasLtMatmul allows, by three loops.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "runtime/core/dtype.hpp"
#include "runtime/core/f16.hpp"
#include "tests/device/fake_tables.hpp"

namespace tessera {
namespace {

using Guard = std::lock_guard<std::recursive_mutex>;

constexpr uint64_t algorithm_mark = 0x7a6c67616c676f72;
constexpr size_t workspace_wanted = 4096;

size_t bytes_of(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

double load(const void* from, int64_t i, cudaDataType_t type) {
  if (type == CUDA_R_32F) return static_cast<const float*>(from)[i];
  if (type == CUDA_R_16BF) return static_cast<float>(static_cast<const bf16*>(from)[i]);
  return static_cast<float>(static_cast<const f16*>(from)[i]);
}

void store(void* to, int64_t i, double value, cudaDataType_t type) {
  const auto narrow = static_cast<float>(value);
  if (type == CUDA_R_32F)
    static_cast<float*>(to)[i] = narrow;
  else if (type == CUDA_R_16BF)
    static_cast<bf16*>(to)[i] = bf16(narrow);
  else
    static_cast<f16*>(to)[i] = f16(narrow);
}

double gelu_tanh(double x) {
  return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

cublasStatus_t invalid(int) { return CUBLAS_STATUS_INVALID_VALUE; }

}  // namespace

// One product with everything that was known when it was asked for.
struct FakeCublasLt::Product {
  Object operation, a_layout, b_layout, c_layout;
  const void *a, *b, *c;
  void* d;
  float alpha, beta;

  void run() const {
    const bool turn_a = operation.attributes.at(CUBLASLT_MATMUL_DESC_TRANSA) == CUBLAS_OP_T;
    const bool turn_b = operation.attributes.at(CUBLASLT_MATMUL_DESC_TRANSB) == CUBLAS_OP_T;
    const auto epilogue = static_cast<int>(operation.attributes.at(CUBLASLT_MATMUL_DESC_EPILOGUE));
    const auto rows = static_cast<int64_t>(c_layout.rows), cols = static_cast<int64_t>(c_layout.cols);
    const auto k = static_cast<int64_t>(turn_a ? a_layout.rows : a_layout.cols);
    const auto at = [](const Object& layout, bool turn, int64_t i, int64_t j) {
      return turn ? j + i * layout.distance : i + j * layout.distance;
    };
    for (int64_t j = 0; j < cols; ++j)
      for (int64_t i = 0; i < rows; ++i) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += load(a, at(a_layout, turn_a, i, l), a_layout.type) *
                 load(b, at(b_layout, turn_b, l, j), b_layout.type);
        const int64_t to = i + j * c_layout.distance;
        sum = alpha * sum + (beta != 0 ? beta * load(c, to, c_layout.type) : 0);
        if (epilogue & CUBLASLT_EPILOGUE_BIAS) sum += load(bias(), i, c_layout.type);
        if (epilogue & CUBLASLT_EPILOGUE_RELU) sum = std::max(sum, 0.0);
        if (epilogue & CUBLASLT_EPILOGUE_GELU) sum = gelu_tanh(sum);
        store(d, to, sum, c_layout.type);
      }
  }

  const void* bias() const {
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    return reinterpret_cast<const void*>(operation.attributes.at(CUBLASLT_MATMUL_DESC_BIAS_POINTER));
  }
};

CublasLt FakeCublasLt::table() {
  return {.cublasLtGetVersion = version,
          .cublasLtCreate = create,
          .cublasLtDestroy = destroy,
          .cublasLtGetStatusString = status_string,
          .cublasLtMatmulDescCreate = operation_create,
          .cublasLtMatmulDescDestroy = operation_destroy,
          .cublasLtMatmulDescSetAttribute = operation_set,
          .cublasLtMatrixLayoutCreate = layout_create,
          .cublasLtMatrixLayoutDestroy = layout_destroy,
          .cublasLtMatmulPreferenceCreate = preference_create,
          .cublasLtMatmulPreferenceDestroy = preference_destroy,
          .cublasLtMatmulPreferenceSetAttribute = preference_set,
          .cublasLtMatmulAlgoGetHeuristic = heuristic,
          .cublasLtMatmul = matmul};
}

void* FakeCublasLt::add(Object::Kind kind) {
  auto made = std::make_unique<Object>(Object{.kind = kind, .attributes = {}});
  void* handle = made.get();
  fake().objects_[handle] = std::move(made);
  return handle;
}

FakeCublasLt::Object* FakeCublasLt::known(const void* object, Object::Kind kind) {
  auto found = fake().objects_.find(const_cast<void*>(object));
  if (found != fake().objects_.end() && found->second->kind == kind) return found->second.get();
  fake().problem("there is no such object of cuBLASLt", 0);
  return nullptr;
}

cublasStatus_t FakeCublasLt::remove(void* object, Object::Kind kind) {
  if (!known(object, kind)) return CUBLAS_STATUS_INVALID_VALUE;
  fake().objects_.erase(object);
  return CUBLAS_STATUS_SUCCESS;
}

size_t FakeCublasLt::version() { return 130000; }

cublasStatus_t FakeCublasLt::create(cublasLtHandle_t* handle) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cublasLtCreate")) return static_cast<cublasStatus_t>(status);
  *handle = static_cast<cublasLtHandle_t>(add(Object::Kind::handle));
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t FakeCublasLt::destroy(cublasLtHandle_t handle) {
  Guard lock(fake().mutex_);
  fake().enter("cublasLtDestroy");
  return remove(handle, Object::Kind::handle);
}

const char* FakeCublasLt::status_string(cublasStatus_t status) {
  Guard lock(fake().mutex_);
  return status == CUBLAS_STATUS_INVALID_VALUE ? fake().last_problem_.c_str() : "cuBLAS has another error";
}

cublasStatus_t FakeCublasLt::operation_create(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute,
                                              cudaDataType_t scale) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cublasLtMatmulDescCreate")) return static_cast<cublasStatus_t>(status);
  if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F)
    return invalid(fake().problem("sums are to be in f32, and not in TF32", 0));
  *operation = static_cast<cublasLtMatmulDesc_t>(add(Object::Kind::operation));
  known(*operation, Object::Kind::operation)->attributes = {
      {CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_N},
      {CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N},
      {CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT},
      {CUBLASLT_MATMUL_DESC_BIAS_POINTER, 0}};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t FakeCublasLt::operation_destroy(cublasLtMatmulDesc_t operation) {
  Guard lock(fake().mutex_);
  fake().enter("cublasLtMatmulDescDestroy");
  return remove(operation, Object::Kind::operation);
}
cublasStatus_t FakeCublasLt::operation_set(cublasLtMatmulDesc_t operation,
                                           cublasLtMatmulDescAttributes_t what, const void* value,
                                           size_t bytes) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cublasLtMatmulDescSetAttribute")) return static_cast<cublasStatus_t>(status);
  Object* it = known(operation, Object::Kind::operation);
  if (!it) return CUBLAS_STATUS_INVALID_VALUE;
  const size_t size = what == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? 8 : 4;
  if (!it->attributes.contains(what) || bytes != size)
    return invalid(fake().problem(fmt::format("attribute {} of {} bytes", static_cast<int>(what), bytes), 0));
  uint64_t word = 0;
  std::memcpy(&word, value, bytes);
  it->attributes[what] = word;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t FakeCublasLt::layout_create(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                           uint64_t cols, int64_t distance) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cublasLtMatrixLayoutCreate")) return static_cast<cublasStatus_t>(status);
  if (distance < static_cast<int64_t>(rows))
    return invalid(fake().problem(fmt::format("columns of {} rows lie {} apart", rows, distance), 0));
  *layout = static_cast<cublasLtMatrixLayout_t>(add(Object::Kind::layout));
  Object* it = known(*layout, Object::Kind::layout);
  it->type = type;
  it->rows = rows;
  it->cols = cols;
  it->distance = distance;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t FakeCublasLt::layout_destroy(cublasLtMatrixLayout_t layout) {
  Guard lock(fake().mutex_);
  fake().enter("cublasLtMatrixLayoutDestroy");
  return remove(layout, Object::Kind::layout);
}

cublasStatus_t FakeCublasLt::preference_create(cublasLtMatmulPreference_t* preference) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cublasLtMatmulPreferenceCreate")) return static_cast<cublasStatus_t>(status);
  *preference = static_cast<cublasLtMatmulPreference_t>(add(Object::Kind::preference));
  known(*preference, Object::Kind::preference)->attributes = {
      {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 0},
      {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, CUBLASLT_REDUCTION_SCHEME_MASK},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 256},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 256},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 256},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 256}};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t FakeCublasLt::preference_destroy(cublasLtMatmulPreference_t preference) {
  Guard lock(fake().mutex_);
  fake().enter("cublasLtMatmulPreferenceDestroy");
  return remove(preference, Object::Kind::preference);
}
cublasStatus_t FakeCublasLt::preference_set(cublasLtMatmulPreference_t preference,
                                            cublasLtMatmulPreferenceAttributes_t what, const void* value,
                                            size_t bytes) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cublasLtMatmulPreferenceSetAttribute"))
    return static_cast<cublasStatus_t>(status);
  Object* it = known(preference, Object::Kind::preference);
  if (!it) return CUBLAS_STATUS_INVALID_VALUE;
  const size_t size = what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? 8 : 4;
  if (!it->attributes.contains(what) || bytes != size)
    return invalid(fake().problem(fmt::format("attribute {} of {} bytes", static_cast<int>(what), bytes), 0));
  uint64_t word = 0;
  std::memcpy(&word, value, bytes);
  it->attributes[what] = word;
  return CUBLAS_STATUS_SUCCESS;
}

std::string FakeCublasLt::why_not_multiplied(const Object& operation, const Object& a, const Object& b,
                                             const Object& c, const Object& d) {
  const auto turned = [&](int what) { return operation.attributes.at(what) == CUBLAS_OP_T; };
  const auto size = [](const Object& layout, bool turn) {
    return turn ? std::pair{layout.cols, layout.rows} : std::pair{layout.rows, layout.cols};
  };
  const auto [m, k] = size(a, turned(CUBLASLT_MATMUL_DESC_TRANSA));
  const auto [k2, n] = size(b, turned(CUBLASLT_MATMUL_DESC_TRANSB));
  if (k != k2 || m != c.rows || n != c.cols || c.rows != d.rows || c.cols != d.cols)
    return fmt::format("[{}, {}] · [{}, {}] is not [{}, {}]", m, k, k2, n, c.rows, c.cols);
  if (a.type != b.type || c.type != d.type || (d.type != a.type && d.type != CUDA_R_32F))
    return "these types do not go together";
  if (c.distance != d.distance) return "C and D are not the same matrix";
  return {};
}

cublasStatus_t FakeCublasLt::heuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       cublasLtMatmulPreference_t preference, int wanted,
                                       cublasLtMatmulHeuristicResult_t* results, int* found) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cublasLtMatmulAlgoGetHeuristic")) return static_cast<cublasStatus_t>(status);
  const Object* with = known(operation, Object::Kind::operation);
  const Object* preferred = known(preference, Object::Kind::preference);
  Object* layouts[4] = {known(a, Object::Kind::layout), known(b, Object::Kind::layout),
                        known(c, Object::Kind::layout), known(d, Object::Kind::layout)};
  if (!known(handle, Object::Kind::handle) || !with || !preferred || wanted < 1)
    return CUBLAS_STATUS_INVALID_VALUE;
  for (const Object* layout : layouts)
    if (!layout) return CUBLAS_STATUS_INVALID_VALUE;
  if (const std::string why = why_not_multiplied(*with, *layouts[0], *layouts[1], *layouts[2], *layouts[3]);
      !why.empty())
    return invalid(fake().problem(why, 0));
  if (preferred->attributes.at(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) &
      CUBLASLT_REDUCTION_SCHEME_INPLACE)
    fake().problem("sums by atomics are not the same every time", 0);
  *found = 1;
  results[0] = {};
  results[0].algo.data[0] = algorithm_mark;
  results[0].algo.data[7] = ++fake().n_algorithms_;  // so that they are told apart
  results[0].state = CUBLAS_STATUS_SUCCESS;
  if (preferred->attributes.at(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) >= workspace_wanted)
    results[0].workspaceSize = workspace_wanted;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t FakeCublasLt::matmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                    const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                                    const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                                    const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                                    cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm,
                                    void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cublasLtMatmul")) return static_cast<cublasStatus_t>(status);
  const Object* with = known(operation, Object::Kind::operation);
  const Object* layouts[4] = {known(a_layout, Object::Kind::layout), known(b_layout, Object::Kind::layout),
                              known(c_layout, Object::Kind::layout), known(d_layout, Object::Kind::layout)};
  if (!known(handle, Object::Kind::handle) || !with) return CUBLAS_STATUS_INVALID_VALUE;
  const void* addresses[4] = {a, b, c, d};
  for (int k = 0; k < 4; ++k) {
    if (!layouts[k]) return CUBLAS_STATUS_INVALID_VALUE;
    const auto elements =
        (layouts[k]->cols - 1) * static_cast<uint64_t>(layouts[k]->distance) + layouts[k]->rows;
    if (!fake().holds(addresses[k], elements * bytes_of(layouts[k]->type), false))
      return invalid(fake().problem(fmt::format("operand {} is not all device memory", "ABCD"[k]), 0));
  }
  std::string why = why_not_multiplied(*with, *layouts[0], *layouts[1], *layouts[2], *layouts[3]);
  if (algorithm->data[0] != algorithm_mark) why = "nobody chose this algorithm";
  fake().last_algorithm_ = algorithm->data[7];
  if (workspace_bytes != workspace_wanted || !fake().holds(workspace, workspace_bytes, false))
    why = "the workspace is not what the algorithm asked for";
  FakeCuda::Stream* on = fake().stream_of(stream);
  if (!on || on->device != FakeCuda::current_device) why = "there is no such stream on this device";
  const Product product{*with,
                        *layouts[0],
                        *layouts[1],
                        *layouts[3],
                        a,
                        b,
                        c,
                        d,
                        *static_cast<const float*>(alpha),
                        *static_cast<const float*>(beta)};
  if ((with->attributes.at(CUBLASLT_MATMUL_DESC_EPILOGUE) & CUBLASLT_EPILOGUE_BIAS) &&
      !fake().holds(product.bias(), layouts[3]->rows * bytes_of(layouts[3]->type), false))
    why = "the bias is not all device memory";
  if (!why.empty()) return invalid(fake().problem(why, 0));
  on->work.emplace_back([product, workspace, workspace_bytes] {
    std::memset(workspace, 0xee, workspace_bytes);
    product.run();
  });
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace tessera
