// Writing and reading a run's files.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/run_state.hpp"

#include <limits>
#include <sstream>
#include <vector>

#include "models/checkpoint/hf_weights.hpp"
#include "models/checkpoint/json.hpp"
#include "models/checkpoint/safetensors.hpp"
#include "models/config/hf_config.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;

// Optimizer state is named parameter:state.
std::vector<std::string> state_names(const Session& session) {
  std::vector<std::string> names = session.names();
  std::erase_if(names, [](const std::string& name) { return name.find(':') == std::string::npos; });
  return names;
}

std::vector<int64_t> sizes_of(const Shape& shape) {
  std::vector<int64_t> sizes;
  for (int d = 0; d < shape.rank(); ++d) sizes.push_back(shape[d].size);
  return sizes;
}

// The lines of a configuration's [model] table.
std::vector<std::string> model_lines(const Config& config) {
  std::istringstream text(to_toml(config));
  std::vector<std::string> lines;
  std::string line;
  for (std::getline(text, line); std::getline(text, line) && !line.empty();) lines.push_back(line);
  return lines;
}

void check_same_run(const Config& now, const Config& then, const fs::path& checkpoint) {
  if (now.model != then.model) {
    const std::vector<std::string> ours = model_lines(now), theirs = model_lines(then);
    size_t at = 0;
    while (at < ours.size() && at < theirs.size() && ours[at] == theirs[at]) ++at;
    throw error(
        "{}: is of another model, with {} where the configuration now says {}; resume with the "
        "configuration that the run began with, or choose another folder with --out",
        checkpoint.string(), at < theirs.size() ? theirs[at] : "less", at < ours.size() ? ours[at] : "less");
  }
  if (now.train.optimizer != then.train.optimizer)
    throw error(
        "{}: holds another optimizer's state; resume with the train.optimizer that the run began with",
        checkpoint.string());
}

}  // namespace

void save_model(const fs::path& folder, const Config& config, const Tokenizer& tokenizer, Session& session) {
  save_weights(folder, config.model, session);
  const HfConfig about{
      .model = config.model, .dtype = DType::f32, .bos = tokenizer.bos(), .eos = tokenizer.eos()};
  write_file(folder / "config.json", hf_config_json(about));
  save_tokenizer(folder, tokenizer);
}

void save_run_state(const fs::path& folder, const Config& config, int64_t step, const Tiling& tiling,
                    Session& session) {
  std::vector<NamedArray> arrays;
  for (const std::string& name : state_names(session)) {
    const TensorType& type = session.type(name);
    arrays.push_back({name, type.dtype, sizes_of(type.shape), {}, [&session, name] {
                        std::vector<std::byte> bytes(static_cast<size_t>(session.type(name).bytes()));
                        session.read(name, bytes.data());
                        return bytes;
                      }});
  }
  write_safetensors(folder / "optimizer.safetensors", arrays);
  nlohmann::ordered_json state{{"step", step}, {"tiling", tiling.to_string()}, {"config", to_toml(config)}};
  if (const ChoicesByKind choices = choices_of(session.engine()); !choices.empty())
    state["choices"] = choices;
  write_file(folder / "trainer.json", state.dump(2) + "\n");
}

Config resumed_config(Config config, const Checkpoint& checkpoint) {
  const fs::path file = checkpoint.folder / "trainer.json";
  const nlohmann::json state = parse_json(read_file(file), file.string());
  for (const char* key : {"tiling", "config"})
    if (!state.is_object() || !state.contains(key) || !state[key].is_string())
      throw error("{}: has no text under \"{}\"; remove this checkpoint to go on from an earlier one",
                  file.string(), key);
  // The run may have begun on a machine with more cores.
  const Config then = parse_config(state["config"].get<std::string>(), file.string(),
                                   {.cores = std::numeric_limits<int32_t>::max()});
  check_same_run(config, then, checkpoint.folder);
  const bool same_rows =
      config.train.batch == then.train.batch && config.train.accumulate == then.train.accumulate;
  if (config.run.tiling == "auto" && same_rows) config.run.tiling = state["tiling"].get<std::string>();
  return config;
}

namespace {

// Devices go on with the algorithms that they began with.
void load_choices(const fs::path& file, Session& session) {
  const nlohmann::json state = parse_json(read_file(file), file.string());
  if (!state.is_object() || !state.contains("choices")) return;
  try {
    use_choices(session.engine(), state["choices"].get<ChoicesByKind>());
  } catch (const nlohmann::json::exception&) {
    throw error("{}: its \"choices\" are none; remove this checkpoint to go on from an earlier one",
                file.string());
  }
}

}  // namespace

void load_run_state(const Checkpoint& checkpoint, const Config& config, Session& session) {
  load_weights(checkpoint.folder, config.model, session);
  load_choices(checkpoint.folder / "trainer.json", session);
  const fs::path file = checkpoint.folder / "optimizer.safetensors";
  const SafetensorsFile state = SafetensorsFile::open(file);
  const std::vector<std::string> names = state_names(session);
  for (const std::string& name : names)
    if (!state.find(name))
      throw error("{}: has no '{}'; remove this checkpoint to go on from an earlier one", file.string(),
                  name);
  for (const TensorEntry& entry : state.entries()) {
    if (!session.has(entry.name))
      throw error("{}: holds '{}', which this run does not have; resume with the configuration it began with",
                  file.string(), entry.name);
    const TensorType& type = session.type(entry.name);
    std::vector<std::byte> bytes(static_cast<size_t>(type.bytes()));
    entry.read(sizes_of(type.shape), type.dtype, bytes);
    session.write(entry.name, bytes.data());
  }
}

}  // namespace tessera
