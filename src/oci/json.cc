#include "oci/json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/log.h"

namespace cofferdam::oci {

namespace {

// Builds a Json from the events of nlohmann's parser, which throws nothing on this path.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Json take() { return std::move(root_); }
  std::string const& error() const { return error_; }
  size_t error_offset() const { return error_offset_; }

  bool null() override { return add(Json()); }
  bool boolean(bool b) override { return add(Json(b)); }
  bool number_integer(number_integer_t n) override { return add(Json(static_cast<int64_t>(n))); }
  bool number_unsigned(number_unsigned_t n) override { return add(Json(static_cast<uint64_t>(n))); }
  bool number_float(number_float_t d, string_t const&) override { return add(Json(d)); }
  bool string(string_t& s) override { return add(Json(std::move(s))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json(JsonObject())); }
  bool start_array(size_t) override { return open(Json(JsonArray())); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    keys_.back() = std::move(name);
    return true;
  }
  bool parse_error(size_t offset, std::string const& last_token, nlohmann::detail::exception const&) override {
    error_offset_ = offset;
    error_ = last_token.empty() ? std::string("unexpected end of the text")
                                : fmt::format("unexpected text near '{}'", log::escape(last_token.substr(0, 40)));
    return false;
  }

 private:
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (auto* array = open_.back()->as<JsonArray>()) return &array->emplace_back(std::move(value));
    auto* object = open_.back()->as<JsonObject>();
    object->emplace_back(std::move(keys_.back()), std::move(value));
    return &object->back().second;
  }
  bool open(Json value) {
    if (open_.size() >= max_json_depth) {
      error_ = fmt::format("nested deeper than {} levels", max_json_depth);
      return false;
    }
    // Only the innermost open container grows, so the pointers to the outer ones stay good.
    open_.push_back(place(std::move(value)));
    keys_.emplace_back();
    return true;
  }
  bool close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> open_;
  std::vector<std::string> keys_;
  std::string error_;
  size_t error_offset_ = 0;
};

void append_string(std::string& out, std::string_view text) {
  out += '"';
  for (unsigned char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (c < 0x20)
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
        else
          out += static_cast<char>(c);
    }
  }
  out += '"';
}

void new_line(std::string& out, Layout layout, size_t depth) {
  if (layout == Layout::Compact) return;
  out += '\n';
  out.append(depth * 2, ' ');
}

void append(std::string& out, Json const& value, Layout layout, size_t depth) {
  if (auto* b = value.as<bool>()) {
    out += *b ? "true" : "false";
  } else if (auto* i = value.as<int64_t>()) {
    out += fmt::format("{}", *i);
  } else if (auto* u = value.as<uint64_t>()) {
    out += fmt::format("{}", *u);
  } else if (auto* d = value.as<double>()) {
    out += fmt::format("{}", *d);
  } else if (auto* s = value.as<std::string>()) {
    append_string(out, *s);
  } else if (auto* array = value.as<JsonArray>()) {
    out += '[';
    for (size_t n = 0; n < array->size(); ++n) {
      if (n) out += ',';
      new_line(out, layout, depth + 1);
      append(out, (*array)[n], layout, depth + 1);
    }
    if (!array->empty()) new_line(out, layout, depth);
    out += ']';
  } else if (auto* object = value.as<JsonObject>()) {
    out += '{';
    for (size_t n = 0; n < object->size(); ++n) {
      if (n) out += ',';
      new_line(out, layout, depth + 1);
      append_string(out, (*object)[n].first);
      out += layout == Layout::Compact ? ":" : ": ";
      append(out, (*object)[n].second, layout, depth + 1);
    }
    if (!object->empty()) new_line(out, layout, depth);
    out += '}';
  } else {
    out += "null";
  }
}

std::string place_of(std::string_view text, size_t offset) {
  size_t line = 1, column = 1;
  for (size_t n = 0; n + 1 < offset && n < text.size(); ++n) {
    if (text[n] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return fmt::format("line {}, column {}", line, column);
}

}  // namespace

std::string_view Json::kind() const {
  static constexpr std::string_view names[] = {"null",     "a boolean", "a number", "a number",
                                               "a number", "a string",  "a list",   "an object"};
  return names[value_.index()];
}

Json const* Json::find(std::string_view key) const {
  auto* object = as<JsonObject>();
  if (!object) return nullptr;
  for (auto member = object->rbegin(); member != object->rend(); ++member)
    if (member->first == key) return member->second.is_null() ? nullptr : &member->second;
  return nullptr;
}

Outcome<Json> parse_json(std::string_view text) {
  if (text.size() > max_json_bytes) return refuse(fmt::format("longer than {} MiB", max_json_bytes >> 20));
  Builder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
    return refuse(fmt::format("not valid JSON: {} at {}", builder.error(), place_of(text, builder.error_offset())));
  return builder.take();
}

std::string print_json(Json const& value, Layout layout) {
  std::string out;
  append(out, value, layout, 0);
  return out;
}

}  // namespace cofferdam::oci
