// Steps whose tasks run on while the next are launched, as on a GPU: values, and failures under their label.
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <thread>

#include "codelets/gelu/gelu.hpp"
#include "runtime/exec/executor.hpp"
#include "tests/device/fake_cuda_test.hpp"

namespace tessera {
namespace {

// One device worker that launches up to three tasks before it waits for the oldest, and nothing else.
class PipelinedEngine final : public Engine {
 public:
  PipelinedEngine(FakeCuda& fake, cudaStream_t stream)
      : fake_(fake), stream_(stream), queue_(make_cuda_queue(fake, 0, stream)), thread_([this] { work(); }) {}
  ~PipelinedEngine() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
    for (const Buffer& buffer : buffers_)
      if (buffer.there) queue_->deallocate(buffer.there);
  }

  std::string name() const override { return "pipelined"; }
  int workers() const override { return 1; }
  bool asynchronous() const override { return true; }
  DeviceQueue* queue(int) override { return queue_.get(); }
  BufferId add_buffer(void* memory, size_t bytes) override {
    buffers_.push_back({memory, queue_->allocate(bytes), bytes});
    return static_cast<int>(buffers_.size()) - 1;
  }
  void remove_buffer(BufferId buffer) override {
    queue_->deallocate(std::exchange(buffers_[static_cast<size_t>(buffer)].there, nullptr));
  }
  void acquire(BufferId buffer, Mode mode) override {  // of buffers that no task uses
    const Buffer& it = buffers_[static_cast<size_t>(buffer)];
    if (mode != Mode::write) queue_->read(it.here, it.there, it.bytes);
    acquired_ = mode;
  }
  void release(BufferId buffer) override {
    const Buffer& it = buffers_[static_cast<size_t>(buffer)];
    if (acquired_ != Mode::read) queue_->write(it.there, it.here, it.bytes);
  }
  std::unique_ptr<TaskSet> prepare(std::vector<EngineTask> tasks, TaskRunner& runner) override {
    return std::make_unique<Tasks>(Tasks(*this, std::move(tasks), runner));
  }

  size_t most_in_flight = 0;

 private:
  struct Buffer {
    void *here, *there;
    size_t bytes;
  };
  struct Tasks final : TaskSet {
    Tasks(PipelinedEngine& e, std::vector<EngineTask> t, TaskRunner& r)
        : engine(e), tasks(std::move(t)), runner(r) {}
    void submit(int task, int) override {
      {
        std::lock_guard lock(engine.mutex_);
        engine.ready_.emplace_back(this, task);
      }
      engine.changed_.notify_all();
    }
    PipelinedEngine& engine;
    std::vector<EngineTask> tasks;
    TaskRunner& runner;
  };

  void work() {
    std::deque<std::pair<Tasks*, int>> in_flight;
    std::unique_lock lock(mutex_);
    for (;;) {
      if (in_flight.empty()) changed_.wait(lock, [&] { return stopping_ || !ready_.empty(); });
      if (in_flight.empty() && ready_.empty()) return;
      const bool launch = !ready_.empty() && in_flight.size() < 3;
      auto [tasks, index] = launch ? ready_.front() : in_flight.front();
      (launch ? ready_ : in_flight).pop_front();
      lock.unlock();
      if (launch) {
        std::vector<void*> pointers;
        for (const EngineAccess& access : tasks->tasks[static_cast<size_t>(index)].accesses)
          pointers.push_back(buffers_[static_cast<size_t>(access.buffer)].there);
        tasks->runner.run(index, 0, pointers.data());
        in_flight.emplace_back(tasks, index);
        most_in_flight = std::max(most_in_flight, in_flight.size());
      } else {
        fake_.synchronize(stream_);
        tasks->runner.finished(index, 0);
      }
      lock.lock();
    }
  }

  FakeCuda& fake_;
  cudaStream_t stream_;
  std::unique_ptr<DeviceQueue> queue_;
  std::vector<Buffer> buffers_;
  Mode acquired_ = Mode::read;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<Tasks*, int>> ready_;
  bool stopping_ = false;
  std::thread thread_;
};

class CudaExecutorTest : public FakeCudaTest {
 protected:
  void SetUp() override {
    FakeCudaTest::SetUp();
    if (!IsSkipped()) stream_ = fake->new_stream(0);
  }
  void TearDown() override {
    if (IsSkipped()) return;
    fake->runtime().cudaSetDevice(0);
    fake->runtime().cudaStreamDestroy(stream_);
    FakeCudaTest::TearDown();
  }
  std::unique_ptr<PipelinedEngine> engine() { return std::make_unique<PipelinedEngine>(*fake, stream_); }

  cudaStream_t stream_ = nullptr;
};

TEST_F(CudaExecutorTest, StepsOverlapAndGiveTheValuesOfTheCpu) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 12}, {"ffn", 20}}, DType::f32);
  Tensor y = gelu(gelu(gelu(x), GeluForm::tanh));
  graph.fetch(y);
  const PlanOptions options{.tiling = Tiling::parse("rows=2,2|2,2|2,2 ffn=15,5")};
  auto pipelined = engine();
  PipelinedEngine& seen = *pipelined;
  Session there(std::move(pipelined)), here({.engine = "threads", .workers = 1});
  Executor on_device(there, make_plan(graph, options), {.poison = true}),
      on_cpu(here, make_plan(graph, options));
  for (int step = 0; step < 5; ++step) {
    std::vector<float> values(12 * 20);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = std::sin(static_cast<float>(i + 100 * static_cast<size_t>(step)));
    const std::vector<float> got = on_device.run({{x, values}}).get(y),
                             expected = on_cpu.run({{x, values}}).get(y);
    for (size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-5) << step << ": " << i;
  }
  EXPECT_EQ(seen.most_in_flight, 3);
}

// An op whose kernel reports a fault: the words are the bits of what gelu leaves as it is.
struct Faulty final : Op {
  static void launch(const TileArgs& args, DeviceQueue& queue) {
    const DeviceKernel gelu{"gelu", "gelu", {{"T", DType::f32}, {"EXACT", 1}}};
    queue.launch(gelu, for_each(2), args[0], queue.fault("value {value} is beyond the table"), int64_t{2});
    queue.launch(gelu, for_each(2), args[0], args[1], int64_t{2});
  }
  static void on_cpu(const TileArgs&) {}

  std::string_view name() const override { return "faulty"; }
  std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  void reference(HostIn, HostOut) const override {}
  void lower(Lowering& to) const override {
    static const Kernel kernel{.name = "faulty", .cpu = on_cpu, .gpu = launch};
    for (int i = 0; i < to.out(0).rows.count(); ++i)
      to.task(kernel, {read(to.in(0)(i, 0)), write(to.out(0)(i, 0))}, {.index = {i, 0}});
  }
};

TEST_F(CudaExecutorTest, AFaultIsToldOfUnderTheLabelOfItsTask) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 5}, 2}, DType::f32);
  Tensor y = graph.apply1(std::make_shared<Faulty>(), {x});
  graph.fetch(y);
  Session session(engine());
  {
    Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=1x5")}));
    std::vector<float> good(10, 0), bad = good;
    bad[4] = 11, bad[5] = 13;  // row 2
    EXPECT_EQ(executor.run({{x, good}}).get(y), good);
    EXPECT_THAT(
        [&] { executor.run({{x, bad}}).wait(); },
        testing::ThrowsMessage<Failure>("faulty[2,0]: value " + std::to_string(std::bit_cast<int>(13.0f)) +
                                        " is beyond the table"));
    EXPECT_THROW(executor.run({{x, good}}), Failure);
  }
  Executor again(session, make_plan(graph, {.tiling = Tiling::parse("rows=1x5")}));  // the session goes on
  const std::vector<float> good(10, 0);
  EXPECT_EQ(again.run({{x, good}}).get(y), good);
}

TEST_F(CudaExecutorTest, AFailingCallEndsTheRunUnderTheLabelOfItsTask) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 5}, 2}, DType::f32);
  Tensor y = gelu(x);
  graph.fetch(y);
  Session session(engine());
  const std::vector<float> values(10, 0);
  for (const char* call : {"cudaLibraryLoadData", "cudaLaunchKernelExC"}) {
    Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=5")}));
    fake->fail_next(call, cudaErrorIllegalAddress);
    EXPECT_THAT(
        [&] { executor.run({{x, values}}).wait(); },
        testing::ThrowsMessage<Failure>(testing::AllOf(testing::StartsWith("gelu[0,0]: CUDA: "),
                                                       testing::HasSubstr("an illegal memory access"))))
        << call;
  }
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=5")}));
  EXPECT_EQ(executor.run({{x, values}}).get(y), values);
}

}  // namespace
}  // namespace tessera
