// Matrix products by cuBLASLt.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>

#include "codelets/matmul/gemm.hpp"
#include "runtime/device/cuda_api.hpp"

namespace tessera {

class CudaGemm {
 public:
  CudaGemm(const CudaApi& api, cudaStream_t stream);
  ~CudaGemm();
  CudaGemm(const CudaGemm&) = delete;
  CudaGemm& operator=(const CudaGemm&) = delete;

  // False for what the library does not do: erf-gelu, silu, an activation before a sum, mixed operands.
  bool run(const Gemm& shape, const GemmOperands& operands, DeviceQueue& queue);

 private:
  struct Product;  // its descriptors and the algorithm that was chosen
  // What a product depends on: shape, types, epilogue, and how its operands are aligned.
  using Key = std::array<int64_t, 17>;

  bool supports(const Gemm& shape) const;
  std::unique_ptr<Product> describe(const Gemm& shape, const GemmOperands& operands) const;
  // The algorithm and its workspace as text; empty where the library has none.
  std::unique_ptr<Product> make(const Key& key, const Gemm& shape, const GemmOperands& operands,
                                DeviceQueue& queue) const;
  std::string choose(const Product& product, const GemmOperands& operands) const;

  const CudaApi& api_;
  cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, std::unique_ptr<Product>> products_;  // null: the library has no algorithm
};

}  // namespace tessera
