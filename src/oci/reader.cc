#include "oci/reader.h"

#include <fmt/format.h>

namespace cofferdam::oci {

void Reader::complain(std::string_view why) const {
  if (error_->empty()) *error_ = fmt::format("{}: {}", path_.empty() ? "(top level)" : path_, why);
}

Reader Reader::at(std::string_view key) const {
  std::string path = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  if (!value_) return {nullptr, std::move(path), error_};
  if (!value_->as<JsonObject>()) complain(fmt::format("expected an object, found {}", value_->kind()));
  return {value_->find(key), std::move(path), error_};
}

std::vector<Reader> Reader::items() const {
  std::vector<Reader> out;
  if (!value_) return out;
  auto* array = value_->as<JsonArray>();
  if (!array) {
    complain(fmt::format("expected a list, found {}", value_->kind()));
    return out;
  }
  for (size_t n = 0; n < array->size(); ++n) out.emplace_back(&(*array)[n], fmt::format("{}[{}]", path_, n), error_);
  return out;
}

std::vector<std::pair<std::string, Reader>> Reader::members() const {
  std::vector<std::pair<std::string, Reader>> out;
  if (!value_) return out;
  auto* object = value_->as<JsonObject>();
  if (!object) {
    complain(fmt::format("expected an object, found {}", value_->kind()));
    return out;
  }
  for (auto& [key, member] : *object)
    out.emplace_back(key, Reader(&member, fmt::format("{}[\"{}\"]", path_, key), error_));
  return out;
}

void Reader::read(std::string& to) const {
  if (!value_) return;
  auto* text = value_->as<std::string>();
  if (!text) return complain(fmt::format("expected a string, found {}", value_->kind()));
  if (text->find('\0') != std::string::npos) return complain("holds a NUL character; remove it");
  to = *text;
}

void Reader::read(bool& to) const {
  if (!value_) return;
  auto* b = value_->as<bool>();
  if (!b) return complain(fmt::format("expected true or false, found {}", value_->kind()));
  to = *b;
}

void Reader::read(uint64_t& to) const {
  if (!value_) return;
  if (auto* u = value_->as<uint64_t>())
    to = *u;
  else if (auto* i = value_->as<int64_t>(); i && *i >= 0)
    to = static_cast<uint64_t>(*i);
  else
    complain(fmt::format("expected a number from 0 up, found {}",
                         value_->as<int64_t>() ? "a negative one" : value_->kind()));
}

void Reader::read(std::vector<std::pair<std::string, std::string>>& to) const {
  for (auto& [key, member] : members()) {
    auto& entry = to.emplace_back(key, "");
    member.read(entry.second);
  }
}

void Reader::integer(int64_t& to, int64_t least, int64_t most) const {
  if (!value_) return;
  int64_t n = 0;
  if (auto* u = value_->as<uint64_t>()) {
    if (*u > static_cast<uint64_t>(most)) return complain(fmt::format("{} is out of range", *u));
    n = static_cast<int64_t>(*u);
  } else if (auto* i = value_->as<int64_t>()) {
    n = *i;
  } else {
    return complain(fmt::format("expected a whole number, found {}", value_->kind()));
  }
  if (n < least || n > most) return complain(fmt::format("{} is out of range", n));
  to = n;
}

}  // namespace cofferdam::oci
