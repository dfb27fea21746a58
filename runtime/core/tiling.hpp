// Tilings: where every axis is cut, and the shape of every sum over it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/shape.hpp"

namespace tessera {

// The cuts of one dimension, in elements. Cuts of one group are *chained* in sums (accumulated in order, on
// one node); partial sums of groups meet in a fixed binary *tree*. See Lowering::reduce.
class Cuts {
 public:
  Cuts() : Cuts(1) {}
  explicit Cuts(int64_t size) : at_{0, size}, groups_{0, 1} {}
  Cuts(std::vector<int64_t> at,
       std::vector<int> groups);  // bounds 0 = at[0] < … = size; first cut of each group, then count

  int count() const { return static_cast<int>(at_.size()) - 1; }
  int64_t begin(int cut) const { return at_[static_cast<size_t>(cut)]; }
  int64_t end(int cut) const { return at_[static_cast<size_t>(cut) + 1]; }
  int64_t size(int cut) const { return end(cut) - begin(cut); }
  int64_t total() const { return at_.back(); }
  int group_count() const { return static_cast<int>(groups_.size()) - 1; }
  int group_begin(int group) const { return groups_[static_cast<size_t>(group)]; }
  int group_end(int group) const { return groups_[static_cast<size_t>(group) + 1]; }
  int cut_of(int64_t element) const;  // the cut that holds an element
  Cuts group_cuts() const;            // every group as one cut

  bool operator==(const Cuts&) const = default;

  std::string to_string() const;  // sizes in elements, as `run.tiling` writes them: "256x2|256,200"

 private:
  std::vector<int64_t> at_;
  std::vector<int> groups_;
};

// Cuts per axis, in the axis' units. Prints and parses as `run.tiling`: "rows=256x2|256x2|256,200
// vocab=2048x4": a comma separates chained cuts, a bar separates groups (tree cuts), SxN repeats. Axes not
// named are not cut.
class Tiling {
 public:
  Tiling() = default;
  static Tiling parse(std::string_view text);

  // Sizes in units, group by group; no group and no size may be empty.
  Tiling& cut(const std::string& axis, std::vector<std::vector<int64_t>> groups);
  // `n` cuts of at most `size` units (the last may be smaller) in `groups` groups of equal count, as near as
  // can be.
  Tiling& cut_evenly(const std::string& axis, int64_t total_units, int64_t size, int groups);
  Cuts cuts(const Dim& dim) const;  // throws Error where the sizes do not add up to the axis
  Tiling with(const std::string& axis,
              const Tiling& other) const;  // this one, with that axis cut as `other` does
  bool has(const std::string& axis) const { return axes_.contains(axis); }
  std::string to_string() const;

  bool operator==(const Tiling&) const = default;

 private:
  std::map<std::string, std::vector<std::vector<int64_t>>> axes_;
};

}  // namespace tessera
