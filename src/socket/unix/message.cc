#include "socket/unix/message.h"

#include <utility>

#include "socket/unix/endpoint.h"
#include "socket/unix/family.h"

namespace cofferdam::unix_sockets {

FlyingFiles::FlyingFiles(Family& family, std::vector<Ref<kernel::File>> files)
    : family_(&family), files_(std::move(files)) {
  if (!files_.empty()) family_->take_off(files_);
}

FlyingFiles::FlyingFiles(FlyingFiles&& o) noexcept : family_(o.family_), files_(std::exchange(o.files_, {})) {}

FlyingFiles& FlyingFiles::operator=(FlyingFiles&& o) noexcept {
  std::swap(family_, o.family_);
  std::swap(files_, o.files_);
  return *this;
}

FlyingFiles::~FlyingFiles() {
  if (!files_.empty()) family_->bury(land());
}

std::vector<Ref<kernel::File>> FlyingFiles::land() {
  if (!files_.empty()) family_->land(files_);
  return std::exchange(files_, {});
}

Message::Message() = default;

Message::~Message() {
  if (sender) sender->uncharge(charge);
}

void MessageQueue::push(std::unique_ptr<Message> m) {
  bytes_ += m->size;
  ++count_;
  Message* raw = m.release();
  raw->next = nullptr;
  (last_ ? last_->next : first_) = raw;
  last_ = raw;
}

std::unique_ptr<Message> MessageQueue::pop() {
  std::unique_ptr<Message> m(first_);
  first_ = m->next;
  if (!first_) last_ = nullptr;
  --count_;
  bytes_ -= m->size - m->read;
  return m;
}

void MessageQueue::clear() {
  while (!empty()) pop();
}

}  // namespace cofferdam::unix_sockets
