// How a call is cut into chunks, which go through all layers, and tiles, which attend together. Ignores what they are.
#pragma once
#include "layout.h"

constexpr int kChunk = 128;   // tokens: their activations stay in the cache while weights pass by
constexpr int kQueries = 16;  // tokens of a tile

// Neighbouring tokens of one sequence.
struct Tile {
    int segment, first, num;  // tokens `first`.. of the call
    int start;                // position of the first
};

struct Chunk {
    const Tile* tiles;
    int num_tiles, first, num;  // tokens `first`.. of the call
    bool is_apart;              // each tile is of another sequence
};

struct Plan {
    const Chunk* chunks;
    int num_chunks;
};
