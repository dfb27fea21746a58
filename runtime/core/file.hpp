// Files that are there whole or not at all: reading, mapping, and writing that survives a kill at any moment.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

// The whole file. Throws Error where it is missing, no regular file, unreadable or longer than max_bytes.
std::string read_file(const std::filesystem::path& file, uint64_t max_bytes = uint64_t{1} << 32);

// A file's bytes, mapped for reading for as long as the object lives.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& file);  // Error as for read_file
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// A file under construction beside its final name, under which it appears, whole and synced, at commit().
// Without a commit nothing is left. Failure where the disk is full, Error where the folder takes no file.
class NewFile {
 public:
  explicit NewFile(std::filesystem::path file);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void commit();

 private:
  std::filesystem::path file_, temporary_;
  int descriptor_ = -1;
};

// A file that grows by lines: each is there whole or not at all.
class LineFile {
 public:
  LineFile(std::filesystem::path file, std::string_view lines);  // replaces the file by `lines`
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;
  ~LineFile();

  void append(std::string_view line);  // with its newline; Failure where the disk is full
  void sync();                         // makes the lines so far durable

 private:
  std::filesystem::path file_;
  int descriptor_ = -1;
};

// What `errno` said when a file was written: a full disk or a broken one is a Failure, a name that cannot be
// used an Error.
[[noreturn]] void throw_unwritable(const std::filesystem::path& file, int reason);

void write_file(const std::filesystem::path& file, std::string_view text);

// Makes what the folder lists (new names, renames) durable.
void sync_folder(const std::filesystem::path& folder);

// Syncs every file and folder below, then the folder itself.
void sync_tree(const std::filesystem::path& folder);

}  // namespace tessera
