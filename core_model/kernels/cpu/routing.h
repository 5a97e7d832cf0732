// Which experts each token goes to, and how much each counts: core_model/routing.py for one token. Ignores experts.

struct Choice {
    int32_t expert;
    float weight;
};

static inline float dot(const float* a, const float* b, int count) {
    F8 acc = all(0.0f);
    for (int i = 0; i < count; i += 8) acc = fma(load(a + i), load(b + i), acc);
    return sum(acc);
}

static inline int best_of(const float* scores, int count) {
    int best = 0;
    for (int i = 1; i < count; ++i) {
        if (scores[i] > scores[best]) best = i;
    }
    return best;
}

// All but the best groups become -inf.
static inline void limit_groups(const Router& r, float* choice, float* group_scores) {
    const int size = r.experts / r.groups;
    for (int g = 0; g < r.groups; ++g) {
        const float* members = choice + g * size;
        const int best = best_of(members, size);
        float second = -__builtin_inff();
        for (int i = 0; i < size; ++i) {
            if (i != best && members[i] > second) second = members[i];
        }
        group_scores[g] = r.by_top2 ? members[best] + second : members[best];
    }
    for (int kept = 0; kept < r.top_groups; ++kept) {
        group_scores[best_of(group_scores, r.groups)] = -__builtin_inff();
    }
    for (int g = 0; g < r.groups; ++g) {
        if (group_scores[g] == -__builtin_inff()) continue;  // kept
        for (int i = 0; i < size; ++i) choice[g * size + i] = -__builtin_inff();
    }
}

// The token's experts, ascending. `memory` has room for 3 * experts floats.
static inline void route(const Router& r, const float* x, int dim, float* memory, Choice* chosen) {
    float *scores = memory, *choice = memory + r.experts, *group_scores = choice + r.experts;
    for (int e = 0; e < r.experts; ++e) {
        scores[e] = dot(x, r.weight + size_t(e) * dim, dim) + (r.bias ? r.bias[e] : 0.0f);
    }
    const float most = scores[best_of(scores, r.experts)];
    float total = 0.0f;
    for (int e = 0; e < r.experts; ++e) {
        scores[e] = r.is_sigmoid ? 1.0f / (1.0f + std::exp(-scores[e])) : std::exp(scores[e] - most);
        total += scores[e];
    }
    for (int e = 0; e < r.experts; ++e) {
        if (!r.is_sigmoid) scores[e] /= total;
        choice[e] = scores[e] + (r.correction ? r.correction[e] : 0.0f);
    }
    if (r.top_groups < r.groups) limit_groups(r, choice, group_scores);
    float sum_of_chosen = 0.0f;
    for (int k = 0; k < r.top_k; ++k) {
        const int expert = best_of(choice, r.experts);
        choice[expert] = -__builtin_inff();
        int at = k;
        for (; at > 0 && chosen[at - 1].expert > expert; --at) chosen[at] = chosen[at - 1];
        chosen[at] = {expert, scores[expert]};
    }
    for (int k = 0; k < r.top_k; ++k) sum_of_chosen += chosen[k].weight;
    for (int k = 0; k < r.top_k; ++k) {
        chosen[k].weight *= r.normalize ? r.scale / (sum_of_chosen + 1e-20f) : r.scale;
    }
}
