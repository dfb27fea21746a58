// Tilings: `run.tiling` there and back, even cuts, units, and what is refused.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/tiling.hpp"

#include <gmock/gmock.h>

#include "runtime/core/error.hpp"

namespace tessera {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// The sizes of the cuts, group by group.
std::vector<std::vector<int64_t>> sizes_of(const Cuts& cuts) {
  std::vector<std::vector<int64_t>> groups;
  for (int g = 0; g < cuts.group_count(); ++g) {
    groups.emplace_back();
    for (int i = cuts.group_begin(g); i < cuts.group_end(g); ++i) groups.back().push_back(cuts.size(i));
  }
  return groups;
}
using Groups = std::vector<std::vector<int64_t>>;

TEST(Tiling, ParsesGroupsOfCuts) {
  const Tiling tiling = Tiling::parse("rows=256x2|256,200 vocab=2048x4");
  EXPECT_EQ(sizes_of(tiling.cuts({"rows", 968})), (Groups{{256, 256}, {256, 200}}));
  EXPECT_EQ(sizes_of(tiling.cuts({"vocab", 8192})), (Groups{{2048, 2048, 2048, 2048}}));
  EXPECT_TRUE(tiling.has("rows"));
  EXPECT_FALSE(tiling.has("heads"));
}

TEST(Tiling, AxesNotNamedAreNotCut) {
  const Tiling tiling = Tiling::parse("rows=4x2");
  EXPECT_EQ(tiling.cuts({"heads", 12}), Cuts(12));
  EXPECT_EQ(tiling.cuts(Dim(12)), Cuts(12));
  EXPECT_EQ(Tiling().cuts({"rows", 12}), Cuts(12));
}

class TilingText : public testing::TestWithParam<const char*> {};

TEST_P(TilingText, PrintsAsItParses) {
  const Tiling tiling = Tiling::parse(GetParam());
  EXPECT_EQ(tiling.to_string(), GetParam());
  EXPECT_EQ(Tiling::parse(tiling.to_string()), tiling);
}

INSTANTIATE_TEST_SUITE_P(Tiling, TilingText,
                         testing::Values("", "rows=8", "rows=8x2", "rows=8x2|8,9", "rows=1|1|1|1",
                                         "heads=2x2,1 rows=256x4|256x4|256x4|256x3,17 vocab=2048x4",
                                         "rows=3,4x2,3|3,4,3", "rows=1000000000"));

TEST(Tiling, PrintsTheShortForm) {
  EXPECT_EQ(Tiling::parse("  vocab=4,4,4   rows=2x1,2x2,3 ").to_string(), "rows=2x3,3 vocab=4x3");
}

TEST(Tiling, GroupsAreNotJustSizes) {
  EXPECT_NE(Tiling::parse("rows=4x2|4x2"), Tiling::parse("rows=4x4"));
  EXPECT_NE(Tiling::parse("rows=4x2|4x2").cuts({"rows", 16}), Tiling::parse("rows=4x4").cuts({"rows", 16}));
}

TEST(Tiling, UnitsScaleCuts) {
  const Tiling tiling = Tiling::parse("heads=2,1|3");
  const Cuts cuts = tiling.cuts({"heads", 6 * 64, 64});
  EXPECT_EQ(sizes_of(cuts), (Groups{{128, 64}, {192}}));
  EXPECT_EQ(cuts.begin(1), 128);
  EXPECT_EQ(cuts.end(2), cuts.total());
  EXPECT_EQ(tiling.cuts({"heads", 6}), tiling.cuts({"heads", 6, 1}));
  EXPECT_THAT(([&] { (void)tiling.cuts({"heads", 8 * 64, 64}); }),
              ThrowsMessage<Error>("tiling: axis 'heads' has 8 units, its cuts 2,1|3 add up to 6"));
}

TEST(Tiling, FindsTheCutOfAnElement) {
  const Cuts cuts = Tiling::parse("rows=4,1|3").cuts({"rows", 8});
  const int expected[] = {0, 0, 0, 0, 1, 2, 2, 2};
  for (int64_t row = 0; row < 8; ++row) EXPECT_EQ(cuts.cut_of(row), expected[row]) << row;
}

TEST(Tiling, CutsPrint) {
  EXPECT_EQ(Cuts(12).to_string(), "12");
  EXPECT_EQ(Tiling::parse("heads=2,1|3").cuts({"heads", 384, 64}).to_string(), "128,64|192");
}

TEST(CutEvenly, LastCutMayBeSmaller) {
  EXPECT_EQ(Tiling().cut_evenly("rows", 1000, 256, 2).to_string(), "rows=256x2|256,232");
  EXPECT_EQ(Tiling().cut_evenly("rows", 1024, 256, 4).to_string(), "rows=256|256|256|256");
  EXPECT_EQ(Tiling().cut_evenly("rows", 7, 100, 4).to_string(), "rows=7");
}

// Whatever the sizes: the cuts add up, none is empty or too large, and groups differ by at most one cut.
TEST(CutEvenly, CoversEveryAxis) {
  for (int64_t total : {1, 2, 7, 16, 33, 100})
    for (int64_t size : {1, 2, 5, 16, 200})
      for (int groups : {1, 2, 3, 4, 8}) {
        Tiling tiling;
        tiling.cut_evenly("rows", total, size, groups);
        const Cuts cuts = tiling.cuts({"rows", total});
        ASSERT_EQ(cuts.count(), (total + size - 1) / size);
        ASSERT_EQ(cuts.group_count(), std::min(groups, cuts.count()));
        int fewest = cuts.count(), most = 0;
        for (int g = 0; g < cuts.group_count(); ++g) {
          fewest = std::min(fewest, cuts.group_end(g) - cuts.group_begin(g));
          most = std::max(most, cuts.group_end(g) - cuts.group_begin(g));
        }
        ASSERT_LE(most - fewest, 1) << tiling.to_string();
        for (int i = 0; i < cuts.count(); ++i) ASSERT_TRUE(cuts.size(i) == size || i + 1 == cuts.count());
        ASSERT_EQ(Tiling::parse(tiling.to_string()), tiling);
      }
}

TEST(CutEvenly, RefusesNothingAtAll) {
  EXPECT_THROW(Tiling().cut_evenly("rows", 0, 4, 1), Error);
  EXPECT_THROW(Tiling().cut_evenly("rows", 8, 0, 1), Error);
  EXPECT_THROW(Tiling().cut_evenly("rows", 8, 4, 0), Error);
}

TEST(Tiling, RefusesEmptyCuts) {
  EXPECT_THROW(Tiling().cut("rows", {}), Error);
  EXPECT_THROW(Tiling().cut("rows", {{}}), Error);
  EXPECT_THROW(Tiling().cut("rows", {{4}, {}}), Error);
  EXPECT_THROW(Tiling().cut("rows", {{4, 0}}), Error);
  EXPECT_THROW(Tiling().cut("rows", {{4, -4}}), Error);
  EXPECT_THROW(Tiling().cut("", {{4}}), Error);
}

struct BadText {
  const char *text, *message;
};
class TilingMistake : public testing::TestWithParam<BadText> {};

TEST_P(TilingMistake, IsNamed) {
  EXPECT_THAT([] { (void)Tiling::parse(GetParam().text); },
              ThrowsMessage<Error>(HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Tiling, TilingMistake,
    testing::Values(BadText{"rows", "'rows' is not of the form axis=sizes"},
                    BadText{"=4x2", "'=4x2' is not of the form axis=sizes"},
                    BadText{"rows=", "axis 'rows': '' is not a size; write e.g. rows=256x4|256,200"},
                    BadText{"rows=4||4", "'' is not a size"}, BadText{"rows=4,", "'' is not a size"},
                    BadText{"rows=0", "'0' is not a size"}, BadText{"rows=-4", "'-4' is not a size"},
                    BadText{"rows=4x0", "'0' is not a size"}, BadText{"rows=4x", "'' is not a size"},
                    BadText{"rows=4x2x2", "'2x2' is not a size"},
                    BadText{"rows=four", "'four' is not a size"}, BadText{"rows=4.5", "'4.5' is not a size"},
                    BadText{"rows=99999999999999999999", "is not a size"},
                    BadText{"rows=1x1000001", "1000001 cuts are too many"},
                    BadText{"rows=1x600000|1x600000", "1200000 cuts are too many"},
                    BadText{"rows=4x2 vocab=8 rows=4x2", "axis 'rows' is given twice"}));

}  // namespace
}  // namespace tessera
