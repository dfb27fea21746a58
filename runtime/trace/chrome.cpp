// Chrome's trace event format, as Perfetto reads it.
// SPDX-License-Identifier: Apache-2.0
//
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: times in µs; an arrow is
// bound to the slices that enclose its two ends on their tracks.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "runtime/core/file.hpp"
#include "runtime/trace/timeline.hpp"
#include "runtime/trace/trace.hpp"

namespace tessera {
namespace {

std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

class ChromeWriter {
 public:
  explicit ChromeWriter(const Recording& recording) : recording_(recording), timeline_(recording) {
    for (const Task& task : recording.plan.tasks) {
      task_names_.push_back(json_string(task.label));
      auto& names = stage_names_.emplace_back();
      for (const Stage& stage : task.stages) names.push_back(json_string(stage.label));
    }
  }

  std::string text() {
    out_ = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
    tracks();
    for (size_t w = 0; w < recording_.workers.size(); ++w) slices(w);
    for (int64_t step = timeline_.first_step(); step < timeline_.first_step() + timeline_.steps(); ++step) {
      marker(step);
      for (size_t t = 0; t < recording_.plan.tasks.size(); ++t) arrows(step, t);
    }
    out_.resize(out_.size() - 2);  // the last comma
    return std::move(out_) + "\n]}\n";
  }

 private:
  // ",\n" ends every event.
  template <class... Args>
  void event(fmt::format_string<Args...> format, Args&&... args) {
    out_ += '{';
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    out_ += "},\n";
  }
  // Exact to the nanosecond, so that slices neither overlap nor leave the slice they are in.
  std::string at(int64_t time) const { return span(time - timeline_.begin()); }
  static std::string span(int64_t length) { return fmt::format("{}.{:03}", length / 1000, length % 1000); }

  void tracks() {
    event(R"("ph":"M","pid":0,"name":"process_name","args":{{"name":"tessera"}})");
    for (size_t w = 0; w < recording_.workers.size(); ++w) {
      event(R"("ph":"M","pid":0,"tid":{},"name":"thread_name","args":{{"name":"worker {}"}})", w + 1, w);
      event(R"("ph":"M","pid":0,"tid":{},"name":"thread_sort_index","args":{{"sort_index":{}}})", w + 1, w);
    }
  }

  void slices(size_t worker) {
    int64_t step = -1;
    int task = -1;
    for (const Record& record : recording_.workers[worker]) {
      const auto t = static_cast<size_t>(record.task);
      const Task& what = recording_.plan.tasks[t];
      if ((record.step != step || record.task != task) && what.stages.size() > 1) {
        const Timeline::Run& run = timeline_.run(record.step, t);
        event(
            R"("ph":"X","pid":0,"tid":{},"ts":{},"dur":{},"name":{},"cat":"task","args":{{"step":{},"priority":{}}})",
            worker + 1, at(run.begin), span(run.end - run.begin), task_names_[t], record.step, what.priority);
      }
      step = record.step;
      task = record.task;
      const auto s = static_cast<size_t>(record.stage);
      const auto length = static_cast<double>(std::max<int64_t>(1, record.end - record.begin));
      event(
          R"("ph":"X","pid":0,"tid":{},"ts":{},"dur":{},"name":{},"cat":{},"args":{{"step":{},"gflops":{:.1f}}})",
          worker + 1, at(record.begin), span(record.end - record.begin), stage_names_[t][s],
          json_string(what.stages[s].kernel->name), record.step, what.stages[s].flops / length);
    }
  }

  void marker(int64_t step) {
    int64_t end = timeline_.step_begin(step);
    for (size_t t = 0; t < recording_.plan.tasks.size(); ++t) end = std::max(end, timeline_.run(step, t).end);
    for (const auto& [phase, time] : {std::pair("b", timeline_.step_begin(step)), std::pair("e", end)})
      event(R"("ph":"{}","pid":0,"tid":0,"ts":{},"id":{},"name":"step {}","cat":"step")", phase, at(time),
            step, step);
  }

  void arrows(int64_t step, size_t task) {
    const Timeline::Run& from = timeline_.run(step, task);
    auto arrow = [&](const Timeline::Run& to) {
      if (from.worker < 0 || to.worker < 0 || from.end == from.begin || to.end == to.begin) return;
      ++arrow_;
      event(R"("ph":"s","pid":0,"tid":{},"ts":{},"id":{},"name":"needs","cat":"dependency")", from.worker + 1,
            at(from.end - 1), arrow_);
      event(R"("ph":"f","bp":"e","pid":0,"tid":{},"ts":{},"id":{},"name":"needs","cat":"dependency")",
            to.worker + 1, at(to.begin), arrow_);
    };
    const Task& what = recording_.plan.tasks[task];
    for (int next : what.next) arrow(timeline_.run(step, static_cast<size_t>(next)));
    if (step + 1 < timeline_.first_step() + timeline_.steps())
      for (int next : what.next_step) arrow(timeline_.run(step + 1, static_cast<size_t>(next)));
  }

  const Recording& recording_;
  const Timeline timeline_;
  std::vector<std::string> task_names_;
  std::vector<std::vector<std::string>> stage_names_;
  int64_t arrow_ = 0;
  std::string out_;
};

}  // namespace

Recording recording_of(const Executor& executor) {
  return {executor.plan(), executor.records(), executor.step_starts()};
}

std::string chrome_trace(const Recording& recording) { return ChromeWriter(recording).text(); }

void write_chrome_trace(const Recording& recording, const std::filesystem::path& file) {
  write_file(file, chrome_trace(recording));
}

}  // namespace tessera
