// Shapes: axes, units, and what is refused.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/shape.hpp"

#include <gmock/gmock.h>

#include "runtime/core/error.hpp"

namespace tessera {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Shape, CountsRowsAndColumns) {
  const Shape matrix{{"rows", 12}, 5}, vector{7}, scalar;
  EXPECT_EQ(matrix.rank(), 2);
  EXPECT_EQ(matrix.rows(), 12);
  EXPECT_EQ(matrix.cols(), 5);
  EXPECT_EQ(matrix.size(), 60);
  EXPECT_EQ(vector.rows(), 7);
  EXPECT_EQ(vector.cols(), 1);
  EXPECT_EQ(scalar.rank(), 0);
  EXPECT_EQ(scalar.size(), 1);
}

TEST(Shape, PrintsAxes) {
  EXPECT_EQ(to_string(Shape{{"rows", 12}, 5}), "[rows 12, 5]");
  EXPECT_EQ(to_string(Shape{{"vocab", 7}}), "[vocab 7]");
  EXPECT_EQ(to_string(Shape{}), "[]");
}

TEST(Shape, EqualityIsAboutAxesSameSizesIsNot) {
  const Shape a{{"rows", 12}, 5}, b{12, 5}, c{{"rows", 12, 4}, 5};
  EXPECT_EQ(a, (Shape{{"rows", 12}, 5}));
  EXPECT_NE(a, b);
  EXPECT_NE(a, c);  // may be cut at other places
  EXPECT_TRUE(a.same_sizes(b));
  EXPECT_FALSE(a.same_sizes(Shape{12}));
  EXPECT_FALSE((Shape{5}).same_sizes(Shape{5, 1}));
}

TEST(Shape, UnitsDivideTheSize) {
  EXPECT_EQ(Dim("heads", 24, 8).units(), 3);
  EXPECT_THAT(([] { Shape{{"heads", 25, 8}}; }),
              ThrowsMessage<Error>(HasSubstr("axis 'heads': size 25 is not a multiple of its unit 8")));
  EXPECT_THROW((Shape{{"heads", 24, 0}}), Error);
}

TEST(Shape, RefusesWhatIsNoMatrix) {
  EXPECT_THAT(([] { Shape{2, 3, 4}; }), ThrowsMessage<Error>(HasSubstr("at most two dimensions, not 3")));
  EXPECT_THAT([] { Shape{0}; }, ThrowsMessage<Error>(HasSubstr("size 0 is not positive")));
  EXPECT_THROW((Shape{-4, 3}), Error);
}

TEST(Shape, RefusesSizesWhoseBytesDoNotCount) {
  const int64_t huge = int64_t{1} << 40;
  EXPECT_THAT(([&] { Shape{huge, huge}; }), ThrowsMessage<Error>(HasSubstr("too large")));
  EXPECT_THAT(([&] { Shape{{"rows", huge}, 1 << 20}; }),
              ThrowsMessage<Error>(HasSubstr("rows 1099511627776")));
  EXPECT_EQ((Shape{1 << 24, 1 << 24}).size(), int64_t{1} << 48);
}

TEST(TensorType, KnowsItsBytes) {
  EXPECT_EQ((TensorType{{3, 5}, DType::bf16}.bytes()), 30);
  EXPECT_EQ((TensorType{{3, 5}, DType::i32}.bytes()), 60);
  EXPECT_EQ((TensorType{{}, DType::f32}.bytes()), 4);
}

}  // namespace
}  // namespace tessera
