// Constants of the stub's address-space layout and of its control block that assembly needs too.
// layout.h asserts that they agree with the C++ declarations.
#pragma once

#define STUB_TEXT 0x7fff00000000
#define STUB_VDSO 0x7fff10000000
#define STUB_THUNKS 0x7fff20000000
#define STUB_AREAS 0x7fff40000000
#define STUB_WINDOW_SIZE 0x40000000
#define STUB_AREA_SIZE 0x40000

#define AREA_STACK_TOP 0x1000

#define CONTROL_TURN 0
#define CONTROL_EVENT 4
#define CONTROL_CALL 8
#define CONTROL_SELF 64
#define CONTROL_STACK_TOP 72
#define CONTROL_FRAME 100
#define CONTROL_INTERRUPTED 104
#define CONTROL_ALTSTACK 192
#define CONTROL_FACTS 216
#define CONTROL_SAVED 1280

// Control::call by index: what the sentry reads of a call.
#define STUB_REG_RAX 0
#define STUB_REG_RDI 1
#define STUB_REG_RSI 2
#define STUB_REG_RDX 3
#define STUB_REG_R10 4
#define STUB_REG_R8 5
#define STUB_REG_R9 6

// Control::saved by index. From RDI to R9 it is in the order of the arguments.
#define STUB_SAVED_RBX 0
#define STUB_SAVED_RBP 1
#define STUB_SAVED_R12 2
#define STUB_SAVED_R13 3
#define STUB_SAVED_R14 4
#define STUB_SAVED_R15 5
#define STUB_SAVED_RSP 6
#define STUB_SAVED_RIP 7
#define STUB_SAVED_FLAGS 8
#define STUB_SAVED_RDI 9
#define STUB_SAVED_RSI 10
#define STUB_SAVED_RDX 11
#define STUB_SAVED_R10 12
#define STUB_SAVED_R8 13
#define STUB_SAVED_R9 14
#define STUB_SAVED_RAX 15

#define EVENT_READY 1000
#define EVENT_TRAMPOLINE 1001
