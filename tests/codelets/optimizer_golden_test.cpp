// Optimizers and clipping against PyTorch's numbers (tests/goldens/optimizers.py), and what holds for all of
// them.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "codelets/adam/adam.hpp"
#include "codelets/adamw/adamw.hpp"
#include "codelets/clip_norm/clip_norm.hpp"
#include "codelets/rmsprop/rmsprop.hpp"
#include "codelets/sgd/sgd.hpp"
#include "runtime/core/error.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/exec/executor.hpp"
#include "tests/paths.hpp"

namespace tessera {
namespace {

struct Use {
  Tensor param, grad, state0, state1;
  OptimizerInputs inputs;
  Tensor shadow;
};

// The options are those of optimizers.py.
struct Optimizer {
  std::string name;
  std::vector<Tensor> (*apply)(const Use&);
  int n_state;
};

const std::vector<Optimizer> optimizers{
    {"adamw",
     [](const Use& u) {
       return adamw(u.param, u.grad, {u.state0, u.state1}, u.inputs, {.beta2 = 0.95, .weight_decay = 0.1},
                    u.shadow);
     },
     2},
    {"adam",
     [](const Use& u) {
       return adam(u.param, u.grad, {u.state0, u.state1}, u.inputs, {.eps = 1e-6, .weight_decay = 0.1},
                   u.shadow);
     },
     2},
    {"rmsprop",
     [](const Use& u) {
       return rmsprop(u.param, u.grad, {.square = u.state0}, u.inputs, {.alpha = 0.9, .weight_decay = 0.05},
                      u.shadow);
     },
     1},
    {"rmsprop_momentum",
     [](const Use& u) {
       return rmsprop(u.param, u.grad, {u.state0, u.state1}, u.inputs, {.momentum = 0.8}, u.shadow);
     },
     2},
    {"sgd", [](const Use& u) { return sgd(u.param, u.grad, {}, u.inputs, {.weight_decay = 0.1}, u.shadow); },
     0},
    {"sgd_momentum",
     [](const Use& u) {
       return sgd(u.param, u.grad, u.state0, u.inputs, {.momentum = 0.9, .weight_decay = 0.1}, u.shadow);
     },
     1},
    {"sgd_nesterov",
     [](const Use& u) {
       return sgd(u.param, u.grad, u.state0, u.inputs, {.momentum = 0.9, .nesterov = true}, u.shadow);
     },
     1},
};

const nlohmann::json& golden() {
  static const nlohmann::json data =
      nlohmann::json::parse(std::ifstream(test::source_path("tests/goldens/optimizers.json")));
  return data;
}

class OptimizerTest : public testing::TestWithParam<Optimizer> {
 protected:
  // A parameter with its optimizer; `control` is an input unless the gradient's norm is to be clipped.
  void build(int64_t size, double max_norm) {
    const Shape shape{{"n", size}};
    use_.param = graph_.variable("param", shape, DType::f32);
    use_.shadow = graph_.shadow(use_.param, DType::bf16);
    use_.grad = graph_.input("grad", shape, DType::f32);
    if (GetParam().n_state > 0) use_.state0 = graph_.variable("state0", shape, DType::f32);
    if (GetParam().n_state > 1) use_.state1 = graph_.variable("state1", shape, DType::f32);
    use_.inputs = {.lr = graph_.input("lr", {1}, DType::f32),
                   .step = graph_.input("step", {1}, DType::i32),
                   .control = max_norm > 0 ? clip_norm({use_.grad}, {.max_norm = max_norm})
                                           : graph_.input("control", {3}, DType::f32)};
    out_ = GetParam().apply(use_);
  }

  // The variables after one step with a fed control.
  std::vector<std::vector<float>> after_one_step(const std::string& tiling, const std::vector<float>& grad,
                                                 const std::vector<float>& control) {
    Session session({.engine = "threads", .workers = 2}, 5);
    Executor executor(session, make_plan(graph_, {.tiling = Tiling::parse(tiling)}), {.poison = true});
    for (const std::string& name : session.names()) {
      std::vector<float> start;
      for (float value : grad) start.push_back(0.25f + 0.5f * value);
      if (name.starts_with("state"))
        for (float& value : start) value = value * value;
      session.set(name, start);
    }
    executor
        .run({{use_.grad, grad},
              {use_.inputs.lr, std::vector{0.01f}},
              {use_.inputs.step, std::vector<int32_t>{7}},
              {use_.inputs.control, control}})
        .wait();
    std::vector<std::vector<float>> values;
    for (const std::string& name : session.names()) values.push_back(session.get(name));
    values.push_back(session.get("param:bf16"));
    return values;
  }

  Graph graph_;
  Use use_;
  std::vector<Tensor> out_;
};

TEST_P(OptimizerTest, MatchesPyTorch) {
  const auto start = golden()["start"].get<std::vector<float>>();
  const auto max_norm = golden()["max_norm"].get<double>();
  build(static_cast<int64_t>(start.size()), max_norm);
  graph_.fetch(use_.inputs.control);
  Session session({.engine = "threads", .workers = 2});
  Executor executor(session, make_plan(graph_, {.tiling = Tiling::parse("n=8|8,4")}), {.poison = true});
  session.set("param", start);
  for (int32_t t = 0; t < 5; ++t) {
    const auto grad = golden()["grads"][static_cast<size_t>(t)].get<std::vector<float>>();
    const auto step = executor.run({{use_.grad, grad},
                                    {use_.inputs.lr, std::vector{golden()["lr"].get<float>()}},
                                    {use_.inputs.step, std::vector<int32_t>{t + 1}}});
    EXPECT_NEAR(step.get(use_.inputs.control)[2], golden()["norms"][static_cast<size_t>(t)].get<double>(),
                1e-6);
    const auto expected =
        golden()["runs"][GetParam().name][static_cast<size_t>(t)].get<std::vector<double>>();
    const std::vector<float> param = session.get("param"), shadow = session.get("param:bf16");
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(param[i], expected[i], 5e-7) << "step " << t + 1 << ", element " << i;
      EXPECT_EQ(shadow[i], static_cast<float>(bf16(param[i])));
    }
  }
}

// The references, in double precision, are what the conformance test holds kernels against.
TEST_P(OptimizerTest, ReferenceMatchesPyTorch) {
  const auto start = golden()["start"].get<std::vector<double>>();
  build(static_cast<int64_t>(start.size()), golden()["max_norm"].get<double>());
  const Node &clip = graph_.nodes()[0], &optimizer = graph_.nodes()[1];
  std::vector<HostArray> in, out;
  for (Tensor tensor : optimizer.in) in.emplace_back(tensor.type());
  in[0].values = start;
  const size_t n_state = static_cast<size_t>(GetParam().n_state);
  in[2 + n_state][0] = golden()["lr"].get<double>();
  for (size_t t = 0; t < 5; ++t) {
    in[1].values = golden()["grads"][t].get<std::vector<double>>();
    in[3 + n_state][0] = static_cast<double>(t + 1);
    clip.op->reference(std::span(in).subspan(1, 1), std::span(in).subspan(4 + n_state, 1));
    EXPECT_NEAR(in[4 + n_state][2], golden()["norms"][t].get<double>(), 1e-12);
    out.clear();
    for (Tensor tensor : optimizer.out) out.emplace_back(tensor.type());
    optimizer.op->reference(in, out);
    const auto expected = golden()["runs"][GetParam().name][t].get<std::vector<double>>();
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(out[0][i], expected[i], 1e-12) << "step " << t + 1 << ", element " << i;
    in[0].values = out[0].values;
    for (size_t s = 0; s < n_state; ++s) in[2 + s].values = out[1 + s].values;
  }
}

TEST_P(OptimizerTest, BitsDoNotDependOnTheCuts) {
  std::vector<float> grad;
  for (int i = 0; i < 77; ++i) grad.push_back(std::sin(static_cast<float>(3 * i)));
  build(77, 0);
  const std::vector<float> control{0.3f, 1, 2};
  const auto whole = after_one_step("", grad, control);
  EXPECT_EQ(after_one_step("n=32,45", grad, control), whole);
  EXPECT_EQ(after_one_step("n=7x11", grad, control), whole);
}

TEST_P(OptimizerTest, SkipsAStepThatIsNotFinite) {
  std::vector<float> grad(40, 0.5f);
  build(40, 0);
  const auto untouched = after_one_step("n=16,24", grad, {1, 0, 2});
  EXPECT_EQ(untouched[0], std::vector<float>(40, 0.5f));  // 0.25 + 0.5 · 0.5
  grad[3] = std::numeric_limits<float>::infinity();
  EXPECT_NE(after_one_step("n=16,24", grad, {1, 1, 2})[0], untouched[0]);
}

INSTANTIATE_TEST_SUITE_P(Optimizers, OptimizerTest, testing::ValuesIn(optimizers),
                         [](const auto& which) { return which.param.name; });

// control of clip_norm for gradients of 20 elements: all 0.5, but for one.
std::vector<float> control_of(float odd, double max_norm,
                              const EngineOptions& engine = {.engine = "threads", .workers = 2}) {
  Graph graph;
  const Tensor grad = graph.input("grad", {{"n", 20}}, DType::f32),
               other = graph.input("other", {}, DType::f32);
  const Tensor control = clip_norm({grad, other}, {.max_norm = max_norm});
  graph.fetch(control);
  Session session(engine);
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("n=8|8,4")}),
                    {.poison = true, .strict_devices = true});
  std::vector<float> values(20, 0.5f);
  values[11] = odd;
  return executor.run({{grad, values}, {other, std::vector{2.0f}}}).get(control);
}

TEST(ClipNorm, BoundsTheNorm) {
  EXPECT_THAT(control_of(0.5f, 0), testing::ElementsAre(1, 1, 3));
  EXPECT_THAT(control_of(0.5f, 4), testing::ElementsAre(1, 1, 3));
  EXPECT_THAT(control_of(0.5f, 1.5), testing::ElementsAre(testing::FloatNear(0.5f, 1e-6f), 1, 3));
}

TEST(ClipNorm, TellsWhatIsNotFinite) {
  std::vector<EngineOptions> engines{{.engine = "threads", .workers = 2}};
  if (!opencl_devices().empty()) engines.push_back({.engine = "device", .opencl = {0}});
  for (const EngineOptions& engine : engines)
    for (float odd :
         {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e30f}) {
      const std::vector<float> control = control_of(odd, 1, engine);
      EXPECT_EQ(control[0], 1);
      EXPECT_EQ(control[1], 0) << odd << " on " << engine.engine;
    }
}

TEST(OptimizerErrors, NameTheTensorAndTheWayOut) {
  Graph graph;
  const Tensor half = graph.variable("half", {4}, DType::bf16),
               full = graph.variable("full", {4}, DType::f32);
  const Tensor grad = graph.input("grad", {4}, DType::f32), lr = graph.input("lr", {1}, DType::f32);
  const Tensor step = graph.input("step", {1}, DType::i32), control = graph.input("control", {3}, DType::f32);
  auto message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const Error& problem) {
      return problem.what();
    }
    return "no error";
  };
  EXPECT_EQ(message([&] { adamw(half, grad, {full, full}, {lr, step, control}); }),
            "adamw: the parameter is bf16; keep it in f32 and give its bf16 copy as the shadow");
  EXPECT_EQ(message([&] { sgd(full, grad, {}, {lr, step, control}, {.momentum = 0.9}); }),
            "sgd: momentum = 0.9 and no velocity is given");
  EXPECT_EQ(message([&] { rmsprop(full, grad, {full}, {lr, lr, control}); }),
            "rmsprop: step is f32 [1], not i32 of size 1");
}

}  // namespace
}  // namespace tessera
