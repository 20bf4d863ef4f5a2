/* A V4L2 camera for tests: preloaded into a process, it answers for the device named in $FAKE_V4L2, which must be a
 * character device (a copy of /dev/null will do). 160x120 grey at 10 fps, every picture another one.
 * The first word of the file $FAKE_V4L2_STATE, read with every picture, says how the camera is:
 *   ok      pictures come, timed by CLOCK_MONOTONIC
 *   gone    unplugged: opening and reading fail with ENODEV
 *   silent  nothing comes until the stream is switched off and on again
 *   back    timestamps are five seconds old; repeat: they stay as they are; ahead: an hour early
 *   frozen  the same picture over and over
 * $FAKE_V4L2_KIND says what it is: nothing (as above), y16 (160x122, 16 bits, two rows of telemetry below), padded (Y16,
 * lines of 384 bytes for 320 of picture), mplane (multiplanar), output (takes pictures of any size, as v4l2loopback
 * does, and appends them to the file $FAKE_V4L2_TAKEN), fixed (likewise, of 32x48 only).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 160, HEIGHT = 120, ROWS = 122, MOST = 32, PERIOD_MS = 100 };

static int device = -1, buffers, head, count, queue[MOST], silenced;
static unsigned char *memory[MOST];
static long long next_ms, number, still, held_us;

static long long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static const char *state(void) {
    static char word[16];
    FILE *file = fopen(getenv("FAKE_V4L2_STATE"), "r");
    strcpy(word, "ok");
    if (file) {
        if (fscanf(file, "%15s", word) != 1) strcpy(word, "ok");
        fclose(file);
    }
    return word;
}

static int kind(const char *word) {
    const char *name = getenv("FAKE_V4L2_KIND");
    return strcmp(name ? name : "", word) == 0;
}

static int output(void) { return kind("output") || kind("fixed"); }
static int deep(void) { return kind("y16") || kind("padded"); }
static int line(void) { return kind("padded") ? 384 : deep() ? 2 * WIDTH : WIDTH; }
static int size(void) { return line() * (kind("y16") ? ROWS : HEIGHT); }

static int is(const char *word) { return strcmp(state(), word) == 0; }

static int ours(const char *path) {
    const char *name = getenv("FAKE_V4L2");
    return name && strcmp(path, name) == 0;
}

static int open_it(const char *path, int flags, mode_t mode) {
    static int (*real)(const char *, int, ...);
    if (!real) real = dlsym(RTLD_NEXT, "open");
    if (!ours(path)) return real(path, flags, mode);
    if (is("gone")) { errno = ENODEV; return -1; }
    return device = real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more);
    return open_it(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more);
    return open_it(path, flags, mode);
}

int close(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "close");
    if (fd == device) device = -1;
    return real(fd);
}

static void *map(void *at, size_t length, int how, int flags, int fd, off_t offset) {
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "mmap");
    if (fd < 0 || fd != device) return real(at, length, how, flags, fd, offset);
    void *place = real(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory[offset / 65536] = place;
    return place;
}

void *mmap(void *at, size_t length, int how, int flags, int fd, off_t offset) { return map(at, length, how, flags, fd, offset); }
void *mmap64(void *at, size_t length, int how, int flags, int fd, off_t offset) { return map(at, length, how, flags, fd, offset); }

ssize_t write(int fd, const void *data, size_t length) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (fd < 0 || fd != device || !output()) return real(fd, data, length);
    if (is("gone")) { errno = ENODEV; return -1; }
    FILE *file = fopen(getenv("FAKE_V4L2_TAKEN"), "a");
    fwrite(data, 1, length, file);
    fclose(file);
    return length;
}

static int ready(void) {
    if (is("gone")) return 1;
    if (is("silent")) silenced = 1;
    return !silenced && count && now_us() / 1000 >= next_ms;
}

int poll(struct pollfd *entries, nfds_t entries_count, int timeout) {
    static int (*real)(struct pollfd *, nfds_t, int);
    if (!real) real = dlsym(RTLD_NEXT, "poll");
    if (entries_count != 1 || entries[0].fd != device || device < 0) return real(entries, entries_count, timeout);
    long long until = now_us() / 1000 + (timeout < 0 ? 1LL << 40 : timeout);
    while (!ready()) {
        if (now_us() / 1000 >= until) { entries[0].revents = 0; return 0; }
        usleep(2000);
    }
    entries[0].revents = POLLIN;
    return 1;
}

static int take(struct v4l2_buffer *buffer) {
    while (!ready()) usleep(2000);  /* for ever, as drivers do */
    if (is("gone")) { errno = ENODEV; return -1; }
    int index = queue[head];
    head = (head + 1) % MOST, count--;
    number++;
    if (!is("frozen")) still = number;
    memset(memory[index], 0, size());
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            unsigned char level = (unsigned char)(y + 3 * x + 7 * still);
            if (!deep()) memory[index][y * line() + x] = level;
            else ((unsigned short *)(memory[index] + y * line()))[x] = 29000 + 10 * x + 5 * y + still % 2;
        }
    long long stamp = now_us();
    if (is("back")) stamp -= 5000000;
    if (is("ahead")) stamp += 3600000000LL;
    if (is("repeat")) stamp = held_us; else held_us = stamp;
    next_ms = now_us() / 1000 + PERIOD_MS;
    buffer->index = index, buffer->bytesused = buffer->length = size(), buffer->sequence = number;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec = stamp / 1000000, buffer->timestamp.tv_usec = stamp % 1000000;
    return 0;
}

static void describe(struct v4l2_format *format) {
    format->fmt.pix.width = WIDTH, format->fmt.pix.height = kind("y16") ? ROWS : HEIGHT;
    format->fmt.pix.pixelformat = deep() ? V4L2_PIX_FMT_Y16 : V4L2_PIX_FMT_GREY, format->fmt.pix.field = V4L2_FIELD_NONE;
    format->fmt.pix.bytesperline = line(), format->fmt.pix.sizeimage = size();
}

int ioctl(int fd, unsigned long request, ...) {
    static int (*real)(int, unsigned long, ...);
    va_list more; va_start(more, request); void *data = va_arg(more, void *); va_end(more);
    if (!real) real = dlsym(RTLD_NEXT, "ioctl");
    if (fd < 0 || fd != device) return real(fd, request, data);
    switch ((unsigned)request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *capability = data;
        memset(capability, 0, sizeof *capability);
        strcpy((char *)capability->card, "Fake");
        capability->capabilities = capability->device_caps =
            output() ? V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_READWRITE : (kind("mplane") ? V4L2_CAP_VIDEO_CAPTURE_MPLANE : V4L2_CAP_VIDEO_CAPTURE) | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_G_INPUT: *(int *)data = 0; return 0;
    case VIDIOC_ENUMINPUT:
        if (((struct v4l2_input *)data)->index) break;
        memset(data, 0, sizeof(struct v4l2_input));
        return 0;
    case VIDIOC_S_FMT:
        if (output()) {
            struct v4l2_pix_format *wanted = &((struct v4l2_format *)data)->fmt.pix;
            if (((struct v4l2_format *)data)->type != V4L2_BUF_TYPE_VIDEO_OUTPUT) break;
            if (kind("fixed")) wanted->width = 32, wanted->height = 48;
            wanted->bytesperline = 2 * wanted->width, wanted->sizeimage = wanted->bytesperline * wanted->height;
            return 0;
        }
        /* fall through */
    case VIDIOC_G_FMT: case VIDIOC_TRY_FMT: describe(data); return 0;
    case VIDIOC_G_PARM: case VIDIOC_S_PARM: {
        struct v4l2_streamparm *parameters = data;
        parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        parameters->parm.capture.timeperframe = (struct v4l2_fract){1, 1000 / PERIOD_MS};
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *wanted = data;
        if (wanted->count > MOST) wanted->count = MOST;
        buffers = wanted->count;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *buffer = data;
        buffer->length = size(), buffer->m.offset = buffer->index * 65536;
        return 0;
    }
    case VIDIOC_QBUF:
        queue[(head + count) % MOST] = ((struct v4l2_buffer *)data)->index;
        count++;
        return 0;
    case VIDIOC_DQBUF: return take(data);
    case VIDIOC_STREAMON: silenced = 0; next_ms = now_us() / 1000; return 0;
    case VIDIOC_STREAMOFF: count = head = 0; silenced = 0; return 0;
    }
    errno = EINVAL;
    return -1;
}
