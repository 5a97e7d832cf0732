"""One model on several devices, a process each (`torchrun`): parts of every layer, and who says what runs next."""
