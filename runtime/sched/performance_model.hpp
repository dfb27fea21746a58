// How long tasks take on each kind of worker: guessed from flops, bytes and measured peaks until they were
// measured themselves, then the median of what they took.
// SPDX-License-Identifier: Apache-2.0
//
// Medians, because one disturbed sample of a hundred times the truth would keep a device from ever getting
// such a task again; and guesses until there are three samples, because the first one compiles.
#pragma once

#include <array>
#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/plan/plan.hpp"
#include "runtime/sched/scheduler.hpp"

namespace tessera {

// Of one worker of a kind, in numbers per second; 0: not known.
struct Peaks {
  double f32_flops = 0, bf16_flops = 0;               // matrix products
  double memory_bytes = 0;                            // read and written in its memory
  double to_device_bytes = 0, from_device_bytes = 0;  // between the host's memory and its own
  double task_seconds = 2e-6;                         // around a task, whatever it does
  bool operator==(const Peaks&) const = default;
};

// What is taken for granted where nothing was measured: of a core, and of a GPU by its compute units, which
// is about what those of the Ampere and Hopper generations have.
inline constexpr Peaks nominal_core{.f32_flops = 50e9, .bf16_flops = 50e9, .memory_bytes = 10e9};
constexpr Peaks nominal_gpu(int compute_units) {
  return {.f32_flops = compute_units * 0.3e12,
          .bf16_flops = compute_units * 3e12,
          .memory_bytes = compute_units * 15e9,
          .to_device_bytes = 12e9,
          .from_device_bytes = 12e9,
          .task_seconds = 5e-6};
}

// What a task's time is guessed from.
struct TaskCost {
  uint64_t footprint = 0;
  double flops = 0;
  int64_t bytes = 0;
  bool is_16_bit = false;
};

TaskCost cost_of(const Plan& plan, const Task& task);

double analytic_seconds(const TaskCost& cost, const Peaks& peaks);

class PerformanceModel {
 public:
  static constexpr int window = 15;  // latest samples that the median is of
  static constexpr int enough = 3;   // samples that a median needs
  static constexpr int trusted =
      5;  // samples that what a file says counts as: more of the other kind outvote it

  // Reads the file if it is there; one of another machine or build, or a damaged one, costs a warning.
  explicit PerformanceModel(std::filesystem::path file = {});

  // Kinds of workers, by names such as "opencl Portable Computing Language pthread-… 3.1"; named before the
  // first task is. What was not measured is taken to be `nominal`.
  int kind(const std::string& name, const Peaks& nominal = nominal_core);
  const Peaks* peaks(const std::string& kind) const;  // null where they were not measured
  void set_peaks(const std::string& kind, const Peaks& peaks) { peaks_[kind] = peaks; }

  class Entry;  // of a footprint; stays as long as the model
  Entry& entry(const TaskCost& cost);
  // From any thread.
  Expected expected(const Entry& entry, int kind) const;
  static void add(Entry& entry, int kind, double seconds);

  // Writes what is known now; a folder that cannot be written costs a warning.
  void save();
  const std::filesystem::path& file() const { return file_; }

 private:
  struct Saved {
    double seconds = 0;
    int samples = 0;
  };
  void read();

  std::filesystem::path file_;
  std::map<std::string, Peaks> peaks_;
  std::map<uint64_t, std::map<std::string, Saved>> saved_;  // by footprint and kind
  std::vector<std::string> kinds_;
  std::vector<Peaks> peaks_of_kind_;
  std::map<uint64_t, std::unique_ptr<Entry>> entries_;
};

class PerformanceModel::Entry {
 public:
  Entry(const TaskCost& cost, size_t kinds) : cost_(cost), histories_(kinds) {}

 private:
  friend class PerformanceModel;
  struct History {
    std::mutex mutex;
    std::array<double, window> samples{};
    int n = 0;  // ever seen
    std::atomic<double> median{-1};

    void add(double seconds);
  };
  TaskCost cost_;
  std::vector<History> histories_;
};

// The file of this machine in the user's cache folder; empty where there is no folder.
std::filesystem::path performance_file();

// Names the code that runs: another build's kernels take another time.
const std::string& build_name();

}  // namespace tessera
