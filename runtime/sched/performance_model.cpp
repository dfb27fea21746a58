// Samples, medians and guesses.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/performance_model.hpp"

#include <algorithm>

#include "runtime/plan/footprint.hpp"

namespace tessera {

TaskCost cost_of(const Plan& plan, const Task& task) {
  return {.footprint = footprint(plan, task),
          .flops = task.flops,
          .bytes = task.bytes,
          .is_16_bit = reads_16_bits(plan, task)};
}

double analytic_seconds(const TaskCost& cost, const Peaks& peaks) {
  const double flops = cost.is_16_bit ? peaks.bf16_flops : peaks.f32_flops;
  const double computing = flops > 0 ? cost.flops / flops : 0;
  const double moving = peaks.memory_bytes > 0 ? static_cast<double>(cost.bytes) / peaks.memory_bytes : 0;
  return peaks.task_seconds + std::max(computing, moving);
}

int PerformanceModel::kind(const std::string& name, const Peaks& nominal) {
  const auto known = std::find(kinds_.begin(), kinds_.end(), name);
  if (known != kinds_.end()) return static_cast<int>(known - kinds_.begin());
  const Peaks* measured = peaks(name);
  kinds_.push_back(name);
  peaks_of_kind_.push_back(measured ? *measured : nominal);
  return static_cast<int>(kinds_.size()) - 1;
}

const Peaks* PerformanceModel::peaks(const std::string& kind) const {
  const auto found = peaks_.find(kind);
  return found == peaks_.end() ? nullptr : &found->second;
}

PerformanceModel::Entry& PerformanceModel::entry(const TaskCost& cost) {
  std::unique_ptr<Entry>& entry = entries_[cost.footprint];
  if (entry) return *entry;
  entry = std::make_unique<Entry>(cost, kinds_.size());
  if (const auto found = saved_.find(cost.footprint); found != saved_.end())
    for (size_t k = 0; k < kinds_.size(); ++k)
      if (const auto saved = found->second.find(kinds_[k]); saved != found->second.end())
        for (int i = 0; i < std::min(saved->second.samples, trusted); ++i)
          entry->histories_[k].add(saved->second.seconds);
  return *entry;
}

Expected PerformanceModel::expected(const Entry& entry, int kind) const {
  const auto k = static_cast<size_t>(kind);
  const double median = entry.histories_[k].median.load(std::memory_order_relaxed);
  if (median >= 0) return {.seconds = median, .young = false};
  return {.seconds = analytic_seconds(entry.cost_, peaks_of_kind_[k]), .young = true};
}

void PerformanceModel::add(Entry& entry, int kind, double seconds) {
  entry.histories_[static_cast<size_t>(kind)].add(seconds);
}

void PerformanceModel::Entry::History::add(double seconds) {
  std::lock_guard lock(mutex);
  samples[static_cast<size_t>(n % window)] = seconds;
  ++n;
  if (n < enough) return;
  std::array<double, window> sorted = samples;
  const auto end = sorted.begin() + std::min(n, window), middle = sorted.begin() + std::min(n, window) / 2;
  std::nth_element(sorted.begin(), middle, end);
  median.store(*middle, std::memory_order_relaxed);
}

}  // namespace tessera
