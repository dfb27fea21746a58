// A session: the engine runs exactly as long as it lives, and it owns the variables that plans share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/exec/engine.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

class Executor;

// Page-aligned memory that the system may back with huge pages; zero at first.
class Memory {
 public:
  Memory() = default;
  explicit Memory(size_t bytes);
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  class Region;

  std::shared_ptr<Region> region_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// A buffer of the engine's, and where it lies in main memory.
struct HostTile {
  BufferId buffer = -1;
  std::byte* data = nullptr;
};

class Session {
 public:
  explicit Session(const EngineOptions& options = {}, uint64_t seed = 0);
  explicit Session(std::unique_ptr<Engine> engine, uint64_t seed = 0);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Engine& engine() { return *engine_; }

  // Whole variables, row by row; the running plan is drained first. Writing one makes its shadows stale.
  bool has(const std::string& name) const { return variables_.contains(name); }
  const TensorType& type(const std::string& name) const;
  std::vector<std::string> names() const;  // shadows left out
  std::vector<float> get(const std::string& name);
  void set(const std::string& name, std::span<const float> values);
  void read(const std::string& name, void* values);  // in the variable's own dtype
  void write(const std::string& name, const void* values);

  // Waits until no step runs.
  void drain();

 private:
  friend class Executor;
  struct Variable {
    TensorType type;
    Cuts rows, cols;
    const TileLayout* layout = nullptr;  // of its tiles; null: row by row
    std::vector<HostTile> tiles;         // row by row
    std::string shadow_of;               // name, or empty
    bool stale = false;                  // a shadow whose variable changed

    size_t bytes(size_t tile) const;  // of its memory, whole pages
  };

  // Books what a plan takes besides its variables; Error where that and variables yet to be made do not fit.
  int64_t book(const Plan& plan);
  void bind(const Plan& plan);  // creates what the plan needs; throws where cuts disagree
  void check(const TensorInfo& info, const Cuts& rows, const Cuts& cols, const TileLayout* layout) const;
  bool create(const TensorInfo& info, const Cuts& rows, const Cuts& cols, const TileLayout* layout);
  void allocate(const Plan& plan);
  void activate(Executor* executor);  // one plan runs at a time
  void deactivate(Executor* executor);
  void mark_stale(const std::string& changed, std::span<const std::string> except = {});
  Variable& variable(const std::string& name);
  void initialise(const TensorInfo& info);
  void refresh(const std::string& shadow);  // where it is stale

  std::unique_ptr<Engine> engine_;
  uint64_t seed_;
  int64_t room_;  // bytes that were free when the session began, less what variables and plans take
  std::vector<Memory> memory_;  // of the variables, by the plans that made them
  std::map<std::string, Variable> variables_;
  Executor* active_ = nullptr;
};

// Copies between a whole row-major array and the tiles of a grid, one after the other.
void scatter(const TileGrid& grid, DType type, const void* whole, Engine& engine,
             std::span<const HostTile> tiles, const TileLayout* layout = nullptr);
void gather(const TileGrid& grid, DType type, Engine& engine, std::span<const HostTile> tiles, void* whole,
            const TileLayout* layout = nullptr);

}  // namespace tessera
