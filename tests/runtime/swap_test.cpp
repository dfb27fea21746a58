// Engines within a limit on main memory: the same values, never more held than allowed, and clear refusals.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "codelets/matmul/matmul.hpp"
#include "codelets/sum/sum.hpp"
#include "runtime/core/error.hpp"
#include "runtime/exec/executor.hpp"
#include "runtime/exec/spill.hpp"
#include "runtime/exec/swap_file.hpp"
#include "tests/models/scratch.hpp"
#include "tests/runtime/call_op.hpp"

namespace tessera::testing_ops {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// Six layers with updated weights, in ragged row tiles.
struct Net {
  static constexpr int64_t width = 64, rows = 52, layers = 6;
  Graph graph;
  Tensor x = graph.input("x", {{"rows", rows}, width}, DType::f32);
  Tensor loss;

  Net() {
    Tensor y = x;
    std::vector<Tensor> weights;
    for (int k = 0; k < layers; ++k) {
      weights.push_back(graph.variable(fmt::format("w{}", k), {width, width}, DType::f32, {.std = 0.1f}));
      y = matmul(y, weights.back());
    }
    loss = sum_rows(matmul(y, graph.variable("head", {width, 1}, DType::f32, {.std = 1})));
    graph.fetch(loss);
    const std::vector<Tensor> gradients = graph.grad(loss, weights);
    for (size_t k = 0; k < weights.size(); ++k)
      call("update", {weights[k], gradients[k]},
           each([](const auto& d, float w) { return w - 1e-4f * d[0]; }), {.in_place = 0});
  }
  Plan plan() const { return make_plan(graph, {.tiling = Tiling::parse("rows=7x3|7|7x2,3|7")}); }
};

std::vector<std::vector<float>> trained(std::unique_ptr<Engine> engine, const Net& net, int steps) {
  Session session(std::move(engine), 3);
  Executor executor(session, net.plan());
  std::vector<std::vector<float>> values;
  std::vector<Executor::Step> running;
  for (int step = 0; step < steps; ++step) {
    std::vector<float> fed(Net::rows * Net::width);
    for (size_t i = 0; i < fed.size(); ++i) fed[i] = static_cast<float>((i * 7 + step) % 13) / 13 - 0.4f;
    running.push_back(executor.run({{net.x, fed}}));
  }
  for (const Executor::Step& step : running) values.push_back(step.get(net.loss));
  for (const std::string& name : session.names()) values.push_back(session.get(name));
  return values;
}

std::unique_ptr<Engine> threads(int workers) {
  return make_engine({.engine = "threads", .workers = workers});
}
int64_t nothing() { return 0; }  // the process's own memory: limits are for tiles alone

TEST(Swap, GivesTheSameValues) {
  const test::ScratchFolder folder;
  const Net net;
  const auto expected = trained(threads(1), net, 7);
  const MemoryNeed need = memory_need(net.plan());
  for (int workers : {1, 2})
    for (int64_t share : {2, 3, 5}) {
      const HostLimit limit{need.engine + (need.total() - need.engine) / share, folder.path.string()};
      EXPECT_EQ(trained(make_swap_engine(threads(workers), limit, nothing), net, 7), expected)
          << workers << " workers, 1/" << share;
    }
  EXPECT_EQ(folder.entries(), 0u) << "the file has no name";
}

TEST(Swap, PlansTakeTurnsAndAreGivenBack) {
  const test::ScratchFolder folder;
  const Net net;
  const MemoryNeed need = memory_need(net.plan());
  Session session(make_swap_engine(threads(2), {need.engine + need.variables, folder.path.string()}, nothing),
                  3);
  const std::vector<float> fed(Net::rows * Net::width, 0.01f);
  Graph other;
  const Tensor y = other.input("x", {1, Net::width}, DType::f32);
  const Tensor z = matmul(y, other.variable("w0", {Net::width, Net::width}, DType::f32));
  other.fetch(z);
  const std::vector<float> row(Net::width, 1.0f);
  for (int round = 0; round < 3; ++round) {
    Executor training(session, net.plan()), looking(session, make_plan(other, {}));
    const std::vector<float> before = looking.run({{y, row}}).get(z);
    training.run({{net.x, fed}});
    training.run({{net.x, fed}});
    EXPECT_NE(looking.run({{y, row}}).get(z), before);
  }
}

TEST(Swap, WithoutAFolderOrRoomIsRefused) {
  const test::ScratchFolder folder;
  const Net net;
  const MemoryNeed need = memory_need(net.plan());
  EXPECT_THAT(
      [&] {
        trained(make_swap_engine(threads(1), {need.engine + (need.total() - need.engine) / 2, ""}, nothing),
                net, 1);
      },
      ThrowsMessage<Error>(HasSubstr("run.swap")));
  EXPECT_THAT([&] { trained(make_swap_engine(threads(1), {1000, folder.path.string()}, nothing), net, 1); },
              ThrowsMessage<Error>(HasSubstr("run.host_memory = 0: the program alone takes")));
  EXPECT_EQ(trained(make_swap_engine(threads(1), {need.total(), ""}, nothing), net, 2),
            trained(threads(1), net, 2));
}

TEST(Swap, FoldersThatCannotBeUsedAreRefused) {
  const test::ScratchFolder folder;
  EXPECT_THAT([&] { SwapFile((folder / "none").string()); },
              ThrowsMessage<Error>(HasSubstr("No such file or directory")));
  EXPECT_THAT([&] { SwapFile(folder.write("file", "").string()); },
              ThrowsMessage<Error>(HasSubstr("is no folder")));
  EXPECT_THAT([&] { SwapFile("/proc"); }, ThrowsMessage<Error>(HasSubstr("takes no file")));
  EXPECT_THAT([&] { make_engine({.engine = "threads", .workers = 1, .swap = folder.path.string()}); },
              ThrowsMessage<Error>(HasSubstr("run.host_memory")));
  EXPECT_TRUE(test::on_a_small_disk(1 << 20, [](const test::ScratchFolder& small) {
    SwapFile file(small.path.string());
    file.reserve(1 << 19);
    return test::error_of([&] { file.reserve(1 << 22); }).find("has no room for 4 MiB") != std::string::npos;
  }));
}

// A disk that fails although it promised room is one failure of the run, and no hang.
TEST(Swap, ADiskThatFailsIsAFailure) {
  EXPECT_TRUE(test::on_a_small_disk(64 << 20, [](const test::ScratchFolder& disk) {
    const Net net;
    const MemoryNeed need = memory_need(net.plan());
    const HostLimit limit{need.engine + (need.total() - need.engine) / 3, disk.path.string()};
    Session session(make_swap_engine(threads(2), limit, nothing), 3);
    Executor executor(session, net.plan());
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_FSIZE, &none);
    const std::vector<float> fed(Net::rows * Net::width, 0.01f);
    const std::string what = test::thrown<Failure>([&] {
      for (int step = 0; step < 5; ++step) executor.run({{net.x, fed}}).wait();
    });
    return what.find("cannot swap out") != std::string::npos;
  }));
}

TEST(SwapFile, GivesBackWhatWasWritten) {
  const test::ScratchFolder folder;
  SwapFile file(folder.path.string());
  const int64_t a = file.take(4096), b = file.take(8192);
  EXPECT_NE(a, b);
  const std::vector<std::byte> ones(4096, std::byte{1}), twos(8192, std::byte{2});
  file.write(a, ones);
  file.write(b, twos);
  std::vector<std::byte> back(4096);
  file.read(a, back);
  EXPECT_EQ(back, ones);
  back.resize(8192);
  file.read(b, back);
  EXPECT_EQ(back, twos);
  file.give_back(a, 4096);
  EXPECT_EQ(file.take(4096), a);
}

}  // namespace
}  // namespace tessera::testing_ops
