// Which buffers lie in main memory, and which one leaves for another: the one whose next use is the farthest.
// SPDX-License-Identifier: Apache-2.0
//
//   plan order   …  t  t+1  t+2  …            A plan's accesses are known, and repeat: so the best buffer to
//   buffer a        R              R          give up is known as well (Belady). One that is next overwritten
//   buffer b             W    R               need not even be kept: b, before t+1.
//   buffer c     R                    …  R    leaves first
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "runtime/plan/plan.hpp"

namespace tessera {

// The accesses of one plan's steps, in order, as often as they differ; then they begin anew.
struct Cycle {
  int64_t length = 0;
};

// Books only: who moves the bytes is another's business. Not for several threads at once.
class Residency {
 public:
  struct Use {
    int64_t at;  // within the cycle
    bool overwrites;
  };
  struct Uses {
    const Cycle* cycle;
    std::vector<Use> list;  // in order
    int64_t done = 0;       // since the cycle first began
  };
  struct Buffer {
    int64_t bytes = 0;
    bool here = false;       // in main memory
    bool changed = true;     // since it was last stored
    bool stored = false;     // elsewhere there is a copy, or what was one before it changed
    bool temporary = false;  // what it holds is of no use to anyone once it is overwritten
    int pins = 0;            // who uses it now
    std::vector<Uses> uses = {};
  };

  Buffer& operator[](int buffer) { return buffers_[static_cast<size_t>(buffer)]; }
  void add(int buffer, int64_t bytes);
  void remove(int buffer);
  void expect(int buffer, const Cycle& cycle, Use use);
  void forget(const Cycle& cycle);

  // A use begins: the next one counts from here.
  void begin(int buffer, const Cycle& cycle, Mode mode);
  // The buffer to give up while `running` runs: here, not pinned; -1 where there is none.
  int farthest(const Cycle* running);
  // Whether nobody will read what it holds.
  bool lost(int buffer);

  // Changing what is here.
  void arrive(int buffer);
  void leave(int buffer);
  int64_t bytes_here() const { return here_; }
  int64_t bytes() const { return all_; }

 private:
  std::vector<Buffer> buffers_;
  int64_t here_ = 0, all_ = 0;
};

}  // namespace tessera
