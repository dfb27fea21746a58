// Training within limits on memory: the same bits as without, and no more resident than allowed.
// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "models/data/dataset.hpp"
#include "models/train/plans.hpp"
#include "models/train/trainer.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/file.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/exec/executor.hpp"
#include "runtime/exec/spill.hpp"
#include "runtime/plan/memory.hpp"
#include "runtime/sched/scheduler.hpp"
#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using testing::HasSubstr;

constexpr int64_t mib = 1 << 20;

Config model_of_width(int64_t width, int64_t layers) {
  Config config;
  config.model = default_model(ModelKind::gpt2);
  config.model.layers = layers;
  config.model.heads = 4;
  config.model.kv_heads = 4;
  config.model.width = width;
  config.model.ffn = 4 * width;
  config.model.seq = 16;
  config.model.vocab = 29;
  config.data.kind = DataKind::addition;
  config.data.digits = 2;
  config.train = {
      .steps = 20, .batch = 4, .lr = 1e-3, .min_lr = 1e-4, .dropout = 0.1, .checkpoint_every = 10};
  config.run.workers = std::min(2, usable_cores());
  return config;
}

MemoryNeed need_of(const Config& config) {
  const TrainingGraph training(config);
  return memory_need(training_plan(config, *training.graph));
}

std::string weights(const std::filesystem::path& out) { return read_file(out / "model.safetensors"); }
std::string optimizer(const std::filesystem::path& out) {
  return read_file(out / "checkpoints/step-000020/optimizer.safetensors");
}

TEST(HostMemory, HalfOfWhatTrainingNeedsGivesTheSameBits) {
  const test::ScratchFolder folder, swap;
  Config config = model_of_width(512, 4);
  const MemoryNeed need = need_of(config);
  const int64_t tiles = need.total() - need.engine;
  ASSERT_GT(tiles, 150 * mib);
  const int64_t before = resident_bytes();
  const bool measured = peak_resident_bytes() < before + 40 * mib;  // nothing larger ran in this process
  Config half = config;
  half.run.host_memory = (before + need.engine + tiles / 2) / mib;
  half.run.swap = swap.path.string();
  train(half, {.out = folder / "half"});
  const int64_t grown = peak_resident_bytes() - before, allowed = half.run.host_memory * mib - before;
  train(config, {.out = folder / "all"});
  EXPECT_TRUE(weights(folder / "half") == weights(folder / "all"));
  EXPECT_TRUE(optimizer(folder / "half") == optimizer(folder / "all"));
  EXPECT_EQ(swap.entries(), 0u);
#if !defined(__SANITIZE_ADDRESS__)
  if (!measured) GTEST_SKIP() << "the peak of resident memory is that of an earlier test";
  EXPECT_LE(grown, allowed + (before + allowed) / 10) << grown / mib << " MiB, allowed " << allowed / mib;
#endif
}

TEST(HostMemory, ImpossibleLimitsAreOneError) {
  const test::ScratchFolder folder;
  Config config = model_of_width(32, 1);
  config.run.host_memory = 3;
  EXPECT_THAT(test::error_of([&] { train(config, {.out = folder / "a"}); }),
              HasSubstr("run.host_memory = 3: the program alone takes"));
  config.run.swap = folder.path.string();
  EXPECT_THAT(test::error_of([&] { train(config, {.out = folder / "b"}); }),
              HasSubstr("run.host_memory = 3: the program alone takes"));
  config.run.swap = (folder / "none").string();
  EXPECT_THAT(test::error_of([&] { train(config, {.out = folder / "c"}); }),
              HasSubstr("No such file or directory"));
}

// Whatever a device can run runs there, so that the kinds of device do not depend on the timing.
class DeviceFirst final : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load& load) override {
    const std::vector<WorkerId> able = load.workers_for(task);
    const auto device = std::ranges::find_if(able, [&](WorkerId worker) {
      return load.workers()[static_cast<size_t>(worker)].kind != WorkerKind::cpu;
    });
    queues_[static_cast<size_t>(device == able.end() ? able[0] : *device)].push_back(&task);
  }
  const ReadyTask* next(WorkerId worker, const Load&) override {
    auto& queue = queues_[static_cast<size_t>(worker)];
    if (queue.empty()) return nullptr;
    const ReadyTask* task = queue.front();
    queue.erase(queue.begin());
    return task;
  }

 private:
  std::vector<std::vector<const ReadyTask*>> queues_ = std::vector<std::vector<const ReadyTask*>>(8);
};

struct Trained {
  std::vector<float> losses;
  std::map<std::string, std::vector<float>> variables;
  std::vector<WorkerUse> workers;
  bool operator==(const Trained& other) const {
    return losses == other.losses && variables == other.variables;
  }
};

Trained on_opencl(const Config& config, int64_t device_memory, const HostLimit& host = {}) {
  EngineOptions options{.workers = 1, .scheduler = "device first", .opencl = {0}};
  options.device_memory = device_memory;
  options.host_memory = host.bytes;
  std::unique_ptr<Engine> engine = make_starpu_engine(options, std::make_unique<DeviceFirst>());
  if (host.bytes > 0) engine = make_swap_engine(std::move(engine), host);
  const TrainingGraph training(config);
  const Dataset data = open_dataset(config);
  Session session(std::move(engine), 1);
  Executor executor(session, training_plan(config, *training.graph));
  Trained trained;
  std::vector<Executor::Step> running;
  for (int32_t i = 0; i < 20; ++i) {
    const std::vector<int32_t> rng{1, i}, step{i + 1};
    const std::vector<float> lr{1e-3f};
    const Batch batch = data.train->at(i);
    std::vector<Feed> feeds = training.batch.feeds(batch);
    feeds.insert(feeds.end(), {{training.rng, rng}, {training.lr, lr}, {training.step, step}});
    running.push_back(executor.run(feeds));
  }
  for (const Executor::Step& step : running) trained.losses.push_back(step.scalar(training.loss));
  for (const std::string& name : session.names()) trained.variables[name] = session.get(name);
  executor.wait();
  trained.workers = executor.worker_use();
  return trained;
}

const WorkerUse& worker(const Trained& trained, std::string_view kind) {
  return *std::ranges::find_if(trained.workers, [&](const WorkerUse& w) { return w.name.starts_with(kind); });
}

class DeviceMemory : public testing::Test {
 protected:
  void SetUp() override {
    if (opencl_devices().empty()) GTEST_SKIP() << "no OpenCL device";
  }
};

Config on_both(Config config) {
  config.run.devices = {"cpu:1", "opencl:0"};
  return config;
}

TEST_F(DeviceMemory, BelowTheWorkingSetGivesTheSameBits) {
  const Config config = on_both(model_of_width(128, 3));
  const Trained expected = on_opencl(config, 0);
  const MemoryNeed need = need_of(config);
  const int64_t tiles = need.total() - need.engine;
  const Trained half = on_opencl(config, tiles / 2 / mib * mib);
  EXPECT_TRUE(half == expected);  // on copies, where the other may have had the host's own memory
  EXPECT_GT(worker(expected, "opencl").tasks, 0);
  if (make_opencl_queue(0)->in_host_memory()) {
    EXPECT_EQ(worker(expected, "opencl").bytes_moved, 0);
  }
  EXPECT_EQ(worker(half, "opencl").tasks, worker(expected, "opencl").tasks);
  EXPECT_GT(worker(half, "opencl").bytes_moved, worker(expected, "opencl").bytes_moved);
  const test::ScratchFolder swap;
  const int64_t host = resident_bytes() + need.engine + tiles / 2 + 40 * mib;  // the queue's kernels
  EXPECT_TRUE(on_opencl(config, tiles / 2 / mib * mib, {host, swap.path.string()}) == expected);
}

TEST_F(DeviceMemory, OfAMebibyteLeavesTheCpu) {
  Config config = on_both(model_of_width(256, 1));
  config.run.tiling = "rows=16x4";
  const Trained few = on_opencl(config, mib);
  EXPECT_EQ(few.losses.size(), 20u);
  EXPECT_LT(few.losses.back(), few.losses.front());
  EXPECT_GT(worker(few, "cpu").tasks, 20 * 50) << "what has no room on the device";
}

}  // namespace
}  // namespace tessera
