// What ops refuse while a graph is built: one line that names the op and what does not fit.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codelets/gelu/gelu.hpp"
#include "codelets/layer_norm/layer_norm.hpp"
#include "codelets/rms_norm/rms_norm.hpp"
#include "codelets/scale/scale.hpp"
#include "codelets/silu_mul/silu_mul.hpp"
#include "codelets/transpose/transpose.hpp"
#include "runtime/core/error.hpp"

namespace tessera {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

class Refusals : public testing::Test {
 protected:
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 6}, 8}, DType::f32);
  Tensor half = graph.input("half", {{"rows", 6}, 8}, DType::bf16);
  Tensor wide = graph.input("wide", {{"rows", 6}, 9}, DType::f32);
  Tensor integers = graph.input("integers", {{"rows", 6}, 8}, DType::i32);
  Tensor vector = graph.input("vector", {8}, DType::f32);
  Tensor half_vector = graph.input("half_vector", {8}, DType::bf16);
};

TEST_F(Refusals, NormsNameTheParameterThatDoesNotFit) {
  EXPECT_THAT([&] { layer_norm(wide, vector, vector); },
              ThrowsMessage<Error>(HasSubstr("layer_norm: the parameter f32 [8]")));
  EXPECT_THAT([&] { layer_norm(x, vector, half_vector); },
              ThrowsMessage<Error>(HasSubstr("layer_norm: the parameter bf16")));
  EXPECT_THAT([&] { rms_norm(wide, vector); },
              ThrowsMessage<Error>(HasSubstr("rms_norm: the parameter f32 [8]")));
  EXPECT_THAT([&] { rms_norm(vector, vector); },
              ThrowsMessage<Error>(HasSubstr("rms_norm: x [8] is not a matrix")));
}

TEST_F(Refusals, ElementWiseOpsNeedFloatsOfOneTypeAndShape) {
  EXPECT_THAT([&] { gelu(integers); }, ThrowsMessage<Error>(HasSubstr("gelu: i32 [rows 6, 8]")));
  EXPECT_THAT([&] { silu_mul(x, wide); },
              ThrowsMessage<Error>(HasSubstr("silu_mul: f32 [rows 6, 8] and f32 [rows 6, 9]")));
  EXPECT_THAT([&] { silu_mul(x, half); },
              ThrowsMessage<Error>(HasSubstr("silu_mul: f32 [rows 6, 8] and bf16")));
  EXPECT_THAT([&] { scale(integers, 2); }, ThrowsMessage<Error>(HasSubstr("scale: i32")));
  EXPECT_THAT([&] { scale_by(x, vector); }, ThrowsMessage<Error>(HasSubstr("scale_by: the factor f32 [8]")));
}

TEST_F(Refusals, OnlyMatricesAreTransposed) {
  EXPECT_THAT([&] { transpose(vector); }, ThrowsMessage<Error>(HasSubstr("transpose: [8] is not a matrix")));
}

}  // namespace
}  // namespace tessera
