import { testKernel } from './boot.js';

testKernel('bullseye');
